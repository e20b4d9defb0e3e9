//! ffmpeg and ffprobe read a film over HTTP, and seek in it.

use std::path::{Path, PathBuf};

use super::{World, digest, digest_of};
use serde_json::json;
use testkit::clients::{client, run};
use testkit::process::scratch;

/// Makes a film of 20 seconds, `end.mp4`, with a key frame each second. Its index (the atom
/// `moov`) is at the end, as ffmpeg and most cameras write it. Noise makes it larger: 2 MB
/// without, some 17 with 30.
pub fn film(folder: &Path, noise: u8) -> PathBuf {
    let mut ffmpeg = client("ffmpeg", folder);
    ffmpeg.args(["-v", "error", "-bitexact", "-f", "lavfi", "-i"]);
    let film = "testsrc2=size=320x240:rate=25:duration=20";
    ffmpeg.arg(format!("{film},noise=alls={noise}:allf=t"));
    ffmpeg.args(["-f", "lavfi", "-i", "sine=duration=20"]);
    ffmpeg.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
    ]);
    run(ffmpeg.args(["-g", "25", "-c:a", "aac", "end.mp4"]));
    folder.join("end.mp4")
}

/// The same film with its index at the beginning, `start.mp4`.
fn with_its_index_first(film: &Path) -> PathBuf {
    let folder = film.parent().unwrap();
    let mut ffmpeg = client("ffmpeg", folder);
    ffmpeg.args(["-v", "error", "-i", "end.mp4", "-c", "copy"]);
    run(ffmpeg.args(["-movflags", "+faststart", "start.mp4"]));
    folder.join("start.mp4")
}

#[test]
fn ffmpeg_reads_a_film_and_seeks_in_it() {
    let folder = scratch("films");
    std::fs::create_dir(&folder).unwrap();
    let film = film(&folder, 0);
    let other = with_its_index_first(&film);
    for file in ["minimal.yaml", "site.yaml", "cached.yaml"] {
        let world = World::start(file);
        for local in [&film, &other] {
            let name = local.file_name().unwrap().to_str().unwrap();
            let more = json!({"content_type": "video/mp4",
                              "headers": {"Cache-Control": "max-age=3600"}});
            world
                .alibaba
                .put_object(name, std::fs::read(local).unwrap(), more);
            let (url, local_name) = (world.url(name), local.display().to_string());
            let both = |program: &str, before: &[&str], after: &[&str]| {
                let of = |input: &str| {
                    let mut command = client(program, &world.folder);
                    command.args(["-v", "error"]).args(before);
                    run(command.args(["-i", input]).args(after))
                };
                // The remote one first: it is to fill the cache, if there is one.
                let (remote, local) = (of(&url), of(&local_name));
                assert!(!local.is_empty(), "{program} {after:?}");
                let text = String::from_utf8_lossy(&remote);
                assert!(
                    remote == local,
                    "{file}: {name}: {program} {after:?}: {text}"
                );
            };
            let frames = ["-frames:v", "5", "-f", "framehash", "-hash", "sha256", "-"];
            both("ffmpeg", &["-ss", "15"], &frames);
            both("ffmpeg", &["-ss", "3"], &frames);
            let facts = "format=duration,size:stream=codec_name,width,height,nb_frames";
            both("ffprobe", &["-show_entries", facts, "-of", "json"], &[]);
            let streams = "-map 0 -c copy -f streamhash -hash sha256 -".split(' ');
            let streams: Vec<&str> = streams.collect();
            both("ffmpeg", &[], &streams);

            // The file as it is, byte for byte.
            let mut ffmpeg = client("ffmpeg", &world.folder);
            ffmpeg.args(["-v", "error", "-f", "data", "-i", &url]);
            let bytes = run(ffmpeg.args(["-map", "0", "-c", "copy", "-f", "data", "-"]));
            assert_eq!(digest(&bytes), digest_of(local), "{file}: {name}");

            let size = std::fs::metadata(local).unwrap().len() as usize;
            world.assert_fetched_well((name, size), file, 6);
        }
    }
}
