//! The page of `cargo xtask demo`, in Chromium, and the picture of it that README.md shows.

use std::path::Path;

use testkit::clients::{client, run};
use testkit::demo::{ALL_IS_WELL, Demo};
use testkit::process::scratch;
use testkit::tools;

use super::browser::browser;

const SIZE: (u32, u32) = (1040, 820);
/// Of the film at its fifteenth second, and of the frames in the picture.
const COLOURS: [(&str, [u8; 3]); 2] = [
    ("the film", [0xe8, 0x59, 0x0c]),
    ("the picture", [0x3b, 0x5b, 0xdb]),
];

#[test]
fn the_page_of_the_demo_is_all_as_promised_and_its_picture_is_of_today() {
    let demo = Demo::start();
    let folder = scratch("browser");
    std::fs::create_dir_all(&folder).unwrap();
    let url = format!("http://127.0.0.1:{}/", demo.port);
    // The page's time passes at once where it waits for nothing.
    let patient = "--virtual-time-budget=60000";

    let mut dump = browser(&folder);
    let page = run(dump.args([patient, "--dump-dom", &url]));
    let page = String::from_utf8(page).unwrap();
    let title = format!("<title>{ALL_IS_WELL}</title>");
    assert!(page.contains(&title), "{page}");
    assert_eq!(page.matches("class=\"good\"").count(), 9, "{page}");

    let picture = folder.join("demo.png");
    let (width, height) = SIZE;
    let mut screenshot = browser(&folder);
    screenshot.args([patient, "--hide-scrollbars"]);
    screenshot.arg(format!("--window-size={width},{height}"));
    screenshot.arg(format!("--screenshot={}", picture.display()));
    run(screenshot.arg(&url));
    let shown = tools::root().join("docs/demo.png");
    for file in [&picture, &shown] {
        let pixels = pixels(file, &folder);
        for (what, colour) in COLOURS {
            let near = |pixel: &&[u8]| {
                let mut parts = pixel.iter().zip(colour);
                parts.all(|(is, wanted)| is.abs_diff(wanted) < 24)
            };
            let count = pixels.chunks_exact(3).filter(near).count();
            assert!(count > 500, "{what} is not in {}: {count}", file.display());
        }
    }
    let difference = difference(&picture, &shown, &folder);
    assert!(
        difference < 3.0,
        "{} shows another page ({difference:.1}); put {} in its place",
        shown.display(),
        picture.display()
    );
}

/// Those of a picture of the page: red, green and blue of each.
fn pixels(file: &Path, folder: &Path) -> Vec<u8> {
    let pixels = decoded(file, folder, "null", "rgb24");
    let (width, height) = SIZE;
    assert_eq!(pixels.len(), (width * height * 3) as usize);
    pixels
}

/// How much the brightness of two pictures differs, 0 to 255, in the mean of coarse squares: fonts
/// and the numbers of ports differ from machine to machine.
fn difference(one: &Path, other: &Path, folder: &Path) -> f64 {
    let [one, other] =
        [one, other].map(|file| decoded(file, folder, "scale=26:20:flags=area", "gray"));
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(&other);
    let sum: u32 = pairs
        .map(|(one, other)| u32::from(one.abs_diff(*other)))
        .sum();
    f64::from(sum) / one.len() as f64
}

fn decoded(file: &Path, folder: &Path, filter: &str, format: &str) -> Vec<u8> {
    let mut ffmpeg = client("ffmpeg", folder);
    ffmpeg.args(["-v", "error", "-i"]).arg(file);
    ffmpeg.args(["-vf", filter, "-f", "rawvideo", "-pix_fmt", format, "-"]);
    run(&mut ffmpeg)
}
