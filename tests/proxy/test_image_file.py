"""Single image files: what their pixels mean, in the forms that people have them in."""

import made_profiles as icc
import numpy as np
import pytest
from PIL import Image, ImageCms

from evnas.errors import DataError
from evnas.proxy import colour_profile
from evnas.proxy.colour_profile import Colours
from evnas.proxy.folder import read_folder
from evnas.proxy.image_file import found_colours, read_rgb

RAMP = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
CORNERS = ("tl", "tr", "br", "bl")


def mean_rgb(path, **options):
    return np.asarray(read_rgb(path, **options), dtype=float).mean((0, 1)).round(1).tolist()


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


WIDE = icc.rgb(icc.WIDE, icc.power_curve(icc.GAMMA))
LINEAR = icc.grey(icc.power_curve(1.0))
PLAIN = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
OLD_PLAIN = icc.rgb(icc.SRGB, icc.srgb_curve())


def saved(path, image, profile):
    image.save(path, icc_profile=profile, lossless=True, quality=100)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_colours_are_converted_by_their_profile(tmp_path, suffix):
    path = saved(tmp_path / f"x.{suffix}", Image.new("RGB", (16, 16), (120, 160, 90)), WIDE)
    expected = icc.to_srgb((120, 160, 90))
    assert expected[0] < 105 and expected[1] > 160  # far from the numbers as they stand
    assert mean_rgb(path) == pytest.approx(expected, abs=1.5)
    assert found_colours(read_rgb(path)) is Colours.CONVERTED
    assert mean_rgb(path, reading=1) == pytest.approx([120, 160, 90], abs=1)
    assert found_colours(read_rgb(path, reading=1)) is Colours.NOT_APPLIED


@pytest.mark.parametrize(
    ("image", "profile", "mean"),
    [
        (Image.new("L", (8, 8), 55), LINEAR, [128] * 3),
        (Image.fromarray(np.full((8, 8), 55 * 257, np.uint16)), LINEAR, [128] * 3),
        (Image.new("L", (8, 8), 120), WIDE, [121] * 3),  # grey by equal parts of RGB
        (Image.new("LA", (8, 8), (55, 128)), LINEAR, [191] * 3),  # half of it on white
        (Image.new("1", (8, 8), 1), LINEAR, [255] * 3),
        (Image.new("RGBA", (8, 8), (120, 160, 90, 0)), WIDE, [255] * 3),
        (Image.new("P", (8, 8), 0), WIDE, [0] * 3),
    ],
    ids=["grey", "16 bits", "grey in RGB", "half seen", "1 bit", "unseen", "palette"],
)
def test_profiles_are_of_all_kinds_of_pixels(tmp_path, image, profile, mean):
    path = saved(tmp_path / "x.png", image, profile)
    assert mean_rgb(path) == pytest.approx(mean, abs=1.5)
    assert found_colours(read_rgb(path)) is Colours.CONVERTED


def test_a_palettes_colours_are_converted(tmp_path):
    image = Image.new("RGB", (8, 8), (120, 160, 90)).quantize(2)
    path = saved(tmp_path / "x.png", image, WIDE)
    assert mean_rgb(path) == pytest.approx(icc.to_srgb((120, 160, 90)), abs=1.5)


@pytest.mark.parametrize(
    ("inks", "grey"), [((0, 0, 0, 0), 255), ((255, 0, 0, 0), 119), ((0, 0, 0, 255), 0)]
)
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_are_what_their_profile_says(tmp_path, suffix, inks, grey):
    path = saved(tmp_path / f"x.{suffix}", Image.new("CMYK", (8, 8), inks), icc.inks())
    assert mean_rgb(path) == pytest.approx([grey] * 3, abs=2)


@pytest.mark.parametrize("profile", [PLAIN, OLD_PLAIN, None], ids=["formula", "table", "none"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_what_is_srgb_stays_as_it_is_to_the_bit(tmp_path, mode, profile):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, len(mode))).astype(np.uint8)
    image = Image.fromarray(noise.squeeze(), mode)
    bare, tagged = (read_rgb(saved(tmp_path / f"{n}.png", image, p))
                    for n, p in (("bare", None), ("tagged", profile)))  # fmt: skip
    assert bare.tobytes() == tagged.tobytes()
    assert found_colours(tagged) is Colours.SRGB


@pytest.mark.parametrize(
    "profile",
    [WIDE[:200], b"desc sRGB IEC61966-2.1", WIDE.replace(b"curv", b"what"), LINEAR, icc.inks()],
    ids=["cut short", "no profile", "no curves", "of grey", "of inks"],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_profile_that_does_not_fit_changes_nothing(tmp_path, suffix, profile):
    path = saved(tmp_path / f"x.{suffix}", Image.new("RGB", (16, 16), (200, 100, 50)), profile)
    assert mean_rgb(path) == pytest.approx([200, 100, 50], abs=1)
    assert found_colours(read_rgb(path)) is Colours.UNFIT


@pytest.mark.parametrize(
    ("profile", "found"),
    [(WIDE, Colours.UNSUPPORTED), (b"desc sRGB IEC61966-2.1", Colours.SRGB),
     ("sRGB".encode("utf-16-be"), Colours.SRGB)],
    ids=["wide", "says sRGB", "says it in two bytes"],
)  # fmt: skip
def test_without_littlecms_numbers_stay_and_names_are_believed(
    tmp_path, monkeypatch, profile, found
):
    monkeypatch.setattr(colour_profile, "can_convert", lambda: False)
    path = saved(tmp_path / "x.png", Image.new("RGB", (16, 16), (200, 100, 50)), profile)
    assert mean_rgb(path) == [200, 100, 50]
    assert found_colours(read_rgb(path)) is found


@pytest.mark.parametrize(
    ("profiles", "said"),
    [
        ([PLAIN], ""),
        (
            [WIDE],
            "; 1 image embeds a colour profile other than sRGB, by which its colours are con",
        ),
        ([WIDE] * 3, "; 3 images embed a colour profile other than sRGB, by which their colours"),
        ([WIDE[:200], WIDE], "; 1 image embeds a colour profile that is damaged or for other pix"),
    ],
    ids=["sRGB", "one", "three", "damaged"],
)
def test_what_was_found_says_what_became_of_colours(tmp_path, profiles, said):
    for i in range(12):
        path = tmp_path / f"{'ab'[i % 2]}/{i}.png"
        path.parent.mkdir(exist_ok=True)
        saved(path, Image.new("RGB", (8, 8), (i, 0, 0)), [*profiles, *[PLAIN] * 12][i])
    note = read_folder(tmp_path, 8).note
    assert said in note and ("colour profile" in note) == bool(said)


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
