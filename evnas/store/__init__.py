"""What is kept of a study: one SQLite file, every line of it with a checksum."""

from evnas.store.schema import SCHEMA_VERSION as SCHEMA_VERSION
from evnas.store.store import RETRIES as RETRIES
from evnas.store.store import Store as Store
