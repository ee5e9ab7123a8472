"""A board for the tests: a script that is handed a model's file and prints made-up latencies."""

import json
import os
import subprocess
import sys
import time


def main(how: str, model: str, batch: int) -> None:
    size = os.path.getsize(model)
    latency = 0.5 * batch
    if how == "honest":
        time.sleep(0.02)
        print("loading", model)
        print(json.dumps({"latency_ms": [latency, latency], "batch": batch, "device": "a board"}))
    elif how == "numbers":
        time.sleep(0.02)
        print(latency, latency, latency)
    elif how == "lies":
        time.sleep(0.02)
        print(json.dumps({"latency_ms": [0.5], "batch": 1}))
    elif how == "per_image":
        time.sleep(0.02)
        print(json.dumps({"latency_ms": [0.5]}))
    elif how == "microseconds":
        print(json.dumps({"latency_ms": [1000 * 700.0]}))
    elif how == "nonsense":
        print("Segmentation fault, sorry", size)
    elif how == "nothing":
        pass
    elif how == "fails":
        sys.exit("no such delegate")
    elif how == "unreachable":
        print("ssh: connect to host board port 22: No route to host", file=sys.stderr)
        sys.exit(255)
    elif how == "crashes":
        os.abort()
    elif how == "hangs":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        with open(f"{os.environ['CHILD_FILE']}", "w") as file:
            file.write(str(child.pid))
        time.sleep(60)
    elif how == "floods":
        while True:
            print("x" * 10_000)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
