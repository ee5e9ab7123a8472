"""Single image files: what their pixels mean, in the forms that people have them in."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from evnas.errors import DataError
from evnas.proxy.folder import read_folder
from evnas.proxy.image_file import has_other_colours, read_rgb

RAMP = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
CORNERS = ("tl", "tr", "br", "bl")


def mean_rgb(path):
    return np.asarray(read_rgb(path), dtype=float).mean((0, 1)).round(1).tolist()


def ramp_of_16_bits(path):
    Image.fromarray(RAMP).save(path)


def ramp_of_10_bits(path):
    path.write_bytes(b"P5\n64 64\n1023\n" + (RAMP // 64).astype(">u2").tobytes())


def ramp_of_12_bits(path):
    values = (RAMP >> 4).reshape(-1, 2).astype(np.uint32)
    first, second = values.T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    tags = {256: 64, 257: 64, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 64, 279: 6144}
    head = b"II*\0" + (8 + 6144).to_bytes(4, "little")
    entries = [
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in tags.items()
    ]
    directory = len(tags).to_bytes(2, "little") + b"".join(entries) + bytes(4)
    path.write_bytes(head + packed.astype(np.uint8).tobytes() + directory)


def ramp_where_zero_is_white(path):
    Image.fromarray(RAMP).save(path, tiffinfo={262: 0})


@pytest.mark.parametrize(
    ("name", "write", "middle"),
    [
        ("x.png", ramp_of_16_bits, 127.5),
        ("x.tif", ramp_of_16_bits, 127.5),
        ("x.pgm", ramp_of_16_bits, 127.5),
        ("x.pgm", ramp_of_10_bits, 127.5),
        ("x.tif", ramp_of_12_bits, 127.5),
        ("x.tif", ramp_where_zero_is_white, 127.5),
    ],
    ids=["png 16", "tiff 16", "pgm 16", "pgm 10", "tiff 12", "tiff 16, inverted"],
)
def test_grey_of_many_bits_is_scaled_and_not_clipped(tmp_path, name, write, middle):
    write(tmp_path / name)
    assert mean_rgb(tmp_path / name) == pytest.approx([middle] * 3, abs=0.6)
    first, last = np.asarray(read_rgb(tmp_path / name))[[0, -1], [0, -1], 0]
    assert (first, last) == ((255, 0) if write is ramp_where_zero_is_white else (0, 255))


def palette(transparency):
    image = Image.fromarray((np.arange(64).reshape(8, 8) % 2).astype(np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])  # half red, half blue
    return image, {"transparency": transparency}


def half_seen(mode):
    return Image.new(mode, (8, 8), {"LA": (100, 128), "RGBA": (200, 0, 100, 128)}[mode]), {}


@pytest.mark.parametrize(
    ("image", "name", "mean"),
    [
        (half_seen("RGBA"), "x.png", [227, 127, 177]),
        (half_seen("RGBA"), "x.webp", [227, 127, 177]),
        (half_seen("LA"), "x.png", [177, 177, 177]),
        (palette(0), "x.png", [127.5, 127.5, 255]),  # white and blue
        (palette(bytes([128, 255])), "x.png", [127.5, 63.5, 191]),
        ((Image.new("L", (8, 8), 7), {"transparency": 7}), "x.png", [255] * 3),
        ((Image.new("RGB", (8, 8), (1, 2, 3)), {"transparency": (1, 2, 3)}), "x.png", [255] * 3),
        ((Image.new("1", (8, 8), 0), {"transparency": 0}), "x.png", [255] * 3),
        ((Image.fromarray(RAMP // 65535), {"transparency": 0}), "x.png", [255] * 3),
    ],
    ids=["rgba", "webp", "la", "palette", "palette, half", "l", "rgb", "1 bit", "16 bits"],
)
def test_what_is_transparent_lies_on_white(tmp_path, image, name, mean):
    pixels, options = image
    pixels.save(tmp_path / name, lossless=True, **options)
    assert mean_rgb(tmp_path / name) == pytest.approx(mean, abs=0.6)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    Image.new("CMYK", (8, 8), (255, 0, 0, 51)).save(tmp_path / f"x.{suffix}")
    assert mean_rgb(tmp_path / f"x.{suffix}") == [0, 204, 204]


def profile(colours):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(colours)).tobytes()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    ("embedded", "others"),
    [
        (None, False),
        (profile("sRGB"), False),
        (b"desc sRGB IEC61966-2.1", False),
        (profile("XYZ"), True),
    ],
    ids=["none", "sRGB", "sRGB of 2001", "XYZ"],
)
def test_a_colour_profile_is_noticed_and_not_applied(tmp_path, suffix, embedded, others):
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (16, 16), (200, 100, 50)).save(path, icc_profile=embedded, lossless=True)
    assert mean_rgb(path) == pytest.approx([200, 100, 50], abs=1)
    assert has_other_colours(read_rgb(path)) is others


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_a_colour_profile_is_noticed_whatever_the_pixels_are(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "x.png", icc_profile=profile("XYZ"))
    assert has_other_colours(read_rgb(tmp_path / "x.png"))


@pytest.mark.parametrize(("others", "said"), [(0, ""), (1, "1 image embeds"), (3, "3 images em")])
def test_what_was_found_says_how_many_have_other_colours(tmp_path, others, said):
    for i in range(12):
        path = tmp_path / f"{'ab'[i % 2]}/{i}.png"
        path.parent.mkdir(exist_ok=True)
        colours = "XYZ" if i < others else "sRGB"
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path, icc_profile=profile(colours))
    note = read_folder(tmp_path, 8).note
    assert ("a colour profile other than sRGB" in note) == bool(others) and said in note


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pgm"])
def test_one_bit(tmp_path, suffix):
    Image.fromarray(np.arange(64).reshape(8, 8) % 4 == 0).save(tmp_path / f"x.{suffix}")
    assert mean_rgb(tmp_path / f"x.{suffix}") == pytest.approx([63.75] * 3, abs=0.1)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    ("orientation", "corner"), list(zip(range(1, 9), CORNERS * 2, strict=True))
)
def test_photographs_stand_upright(tmp_path, suffix, orientation, corner):
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    pixels[:8, :16] = 255  # the corner that is stored first
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / f"x.{suffix}", exif=exif)
    upright = np.asarray(read_rgb(tmp_path / f"x.{suffix}"))[..., 0] > 127
    assert upright.shape == ((16, 32) if orientation < 5 else (32, 16))
    h, w = upright.shape
    quarters = {"tl": upright[: h // 2, : w // 2], "tr": upright[: h // 2, w // 2 :],
                "bl": upright[h // 2 :, : w // 2], "br": upright[h // 2 :, w // 2 :]}  # fmt: skip
    assert [name for name, quarter in quarters.items() if quarter.mean() > 0.5] == [corner]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (RAMP.astype(np.float32), "floats, so its white is not known"),
        (RAMP.astype(np.int32), "its values are signed"),
    ],
    ids=["floats", "signed"],
)
def test_values_without_a_known_white_are_refused(tmp_path, pixels, message):
    Image.fromarray(pixels).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=rf"x\.tif must be an image.*{message}"):
        read_rgb(tmp_path / "x.tif")


def test_colours_that_nothing_converts_are_refused(tmp_path):
    Image.new("LAB", (8, 8)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match="its colours are LAB"):
        read_rgb(tmp_path / "x.tif")


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_of_several_frames_none_is_chosen(tmp_path, suffix):
    first, *others = (Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(3))
    first.save(tmp_path / f"x.{suffix}", save_all=True, append_images=others)
    with pytest.raises(DataError, match="it holds 3 frames"):
        read_rgb(tmp_path / f"x.{suffix}")


def test_a_cameras_second_picture_is_left(tmp_path):
    second = Image.new("RGB", (8, 8), "white")
    Image.new("RGB", (8, 8)).save(
        tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[second]
    )
    assert mean_rgb(tmp_path / "x.jpg") == [0, 0, 0]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "ppm", "tif"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"x.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    Image.fromarray(noise.astype(np.uint8)).save(path)
    read_rgb(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for least_side in (0, 8):
        with pytest.raises(DataError, match="must be an image, it cannot be read"):
            read_rgb(path, least_side=least_side)
