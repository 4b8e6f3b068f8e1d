//! What is made of files, what is refused, and what goes when nothing uses it.

use std::{
    collections::BTreeMap,
    io::Cursor,
    path::{Path, PathBuf},
    process::Stdio,
};

use image::{ImageFormat, Rgba, RgbaImage};
use jobs::{
    desk::{File, Media},
    store::Uploads,
};
use postroom::networks::s3::S3;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::Executor;
use tokio::process::Command;

use crate::{
    harness::{INSTAGRAM, System, TIKTOK, eventually, eventually_within, film, picture},
    support::{Door, jpeg},
};

/// Runs ffmpeg on these inputs and gives the file it made.
async fn ffmpeg(args: &[&str], ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join(format!("made.{ending}"));
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]).args(args).arg(&made).stdin(Stdio::null());
    assert!(command.status().await.unwrap().success(), "{args:?}");
    std::fs::read(made).unwrap()
}

/// The demo's film in a Matroska file, nothing encoded anew.
async fn matroska() -> Vec<u8> {
    let film = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/oven.mp4");
    ffmpeg(&["-i", film, "-c", "copy"], "mkv").await
}

/// A wide picture, half of it transparent.
fn see_through(width: u32, height: u32) -> Vec<u8> {
    let paint = |x: u32, y: u32| {
        Rgba([x.to_le_bytes()[0], y.to_le_bytes()[0], 90, if x < width / 2 { 0 } else { 255 }])
    };
    let mut bytes = Cursor::new(Vec::new());
    RgbaImage::from_fn(width, height, paint).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The store, as the workers have it.
fn store(system: &System) -> S3 {
    S3::from_environment(&|name| system.environment.get(name).cloned()).unwrap()
}

/// Where the store's files lie.
fn shelf(system: &System) -> PathBuf {
    system.logs().join("sandbox/s3").join(&system.environment["S3_BUCKET"])
}

/// Every file in the store, by its key.
fn stored(system: &System) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                walk(&entry, root, found);
            } else if let Ok(bytes) = std::fs::read(&entry) {
                found.insert(entry.strip_prefix(root).unwrap().to_string_lossy().into_owned(), bytes);
            }
        }
    }
    let (root, mut found) = (shelf(system), BTreeMap::new());
    walk(&root, &root, &mut found);
    found
}

fn sum(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Sends a file to the intake: the status and the answer.
pub async fn offer(system: &System, bytes: Vec<u8>) -> (u16, Value) {
    let part = reqwest::multipart::Part::bytes(bytes).file_name("it");
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = crate::harness::client().post(system.url("/api/v1/media")).bearer_auth(&system.key);
    let answer = request.multipart(form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Posts one file to one network, waits until it is out, and gives the sum of what the public sees.
async fn published(system: &System, caption: &str, platform: &str, media: &str) -> String {
    let wish = system.wish(caption, &[platform], &[media.to_owned()]);
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    system.all_live_once(&[post["id"].as_str().unwrap().to_owned()]).await;
    let effects = system.effects(platform, caption).await;
    effects[0]["media"][0].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_instagram_does_not_take_goes_out_as_a_jpeg_that_it_takes() {
    let system = System::with_workers(1).await;
    let original = see_through(2000, 1600);
    let media = system.upload("shop.png", original.clone()).await;
    let seen = published(&system, "from a PNG", INSTAGRAM, &media).await;
    assert_ne!(seen, sum(&original));
    let files = stored(&system);
    let (key, made) = files.iter().find(|(_, bytes)| sum(bytes) == seen).expect("it is in the store");
    assert!(key.ends_with(".png.1440x8000000.jpeg"), "{key}");
    let shown = image::load_from_memory_with_format(made, ImageFormat::Jpeg).unwrap().into_rgb8();
    assert_eq!(shown.dimensions(), (1440, 1152));
    assert!(shown.get_pixel(10, 10).0.iter().all(|colour| *colour > 250), "it is white where nothing was");
    // the same file gives the same bytes, and is not made twice
    assert_eq!(published(&system, "once more", INSTAGRAM, &media).await, seen);
    assert_eq!(stored(&system).keys().filter(|key| key.contains(".png.1440")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_fits_goes_out_as_it_is() {
    // P-C2
    let system = System::with_workers(1).await;
    let media = system.upload("bread.jpg", picture()).await;
    assert_eq!(published(&system, "as it is", INSTAGRAM, &media).await, sum(&picture()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matroska_film_goes_out_as_mp4_and_nothing_of_it_is_encoded_anew() {
    let system = System::with_workers(1).await;
    let original = matroska().await;
    let (status, media) = offer(&system, original.clone()).await;
    assert_eq!((status, &media["type"]), (201, &json!("video/x-matroska")), "{media}");
    let seen = published(&system, "from a Matroska file", TIKTOK, media["id"].as_str().unwrap()).await;
    let files = stored(&system);
    let (key, made) = files.iter().find(|(_, bytes)| sum(bytes) == seen).expect("it is in the store");
    assert!(key.ends_with(".mkv.4096x4000000000.mp4"), "{key}");
    assert_eq!(infer::get(made).unwrap().mime_type(), "video/mp4");
    let size = original.len() / 10;
    assert!(made.len().abs_diff(original.len()) < size, "{} of {}", made.len(), original.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_network_would_show_as_it_is_meant_is_refused_at_the_door() {
    let system = System::start().await;
    let moving = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=4:duration=1"];
    let webp = ffmpeg(&[&moving[..], &["-c:v", "libwebp_anim", "-loop", "0"]].concat(), "webp").await;
    let png = ffmpeg(&[&moving[..], &["-plays", "0", "-f", "apng"]].concat(), "png").await;
    let print = ["-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1"];
    let mut cmyk = ffmpeg(&[&print[..], &["-c:v", "mjpeg", "-pix_fmt", "yuvj444p"]].concat(), "jpg").await;
    // no encoder here makes one: the frame says four colours
    let frame = cmyk.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    cmyk[frame + 9] = 4;
    let vp9 = ["-c:v", "libvpx", "-b:v", "100k"];
    let odd = ffmpeg(&[&moving[..], &vp9[..], &["-f", "matroska"]].concat(), "mkv").await;
    let mut liar = film();
    liar[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    for (bytes, code) in [
        (webp, "media_animated"),
        (png, "media_animated"),
        (cmyk, "media_cmyk"),
        (odd, "media_codecs"),
        (liar, "media_broken"),
        (cut(film()), "media_broken"),
        (cut(matroska().await), "media_broken"),
        (b"GIF89a, and then nothing".to_vec(), "media_type"),
    ] {
        let (status, problem) = offer(&system, bytes).await;
        assert_eq!((status, &problem["errors"][0]["code"]), (422, &json!(code)), "{problem}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().len() > 30, "{problem}");
    }
    assert!(stored(&system).is_empty(), "{:?}", stored(&system).keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_picture_is_made_of_pictures_and_films_once_and_goes_with_its_file() {
    let system = System::start().await;
    let store = store(&system);
    for (name, kind, bytes) in [
        ("a.jpg", "image/jpeg", picture()),
        ("b.png", "image/png", see_through(900, 300)),
        ("c.mp4", "video/mp4", film()),
        ("d.mkv", "video/x-matroska", matroska().await),
    ] {
        let path = system.logs().join(name);
        std::fs::write(&path, &bytes).unwrap();
        store.store(name, kind, &path).await.unwrap();
        let file =
            File { key: name.into(), content_type: kind.into(), bytes: bytes.len() as u64, width: 900 };
        let key = store.thumbnail(&file).await.unwrap();
        let small = stored(&system)[&key].clone();
        let shown = image::load_from_memory_with_format(&small, ImageFormat::Jpeg).unwrap();
        assert_eq!(shown.width().max(shown.height()), 480, "{name}");
        assert!(small.len() <= 60_000, "{name}: {}", small.len());
        assert_eq!(store.thumbnail(&file).await.unwrap(), key);
        store.remove(name).await.unwrap();
        let left: Vec<_> = stored(&system).into_keys().filter(|it| it.starts_with(name)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let broken = system.logs().join("broken");
    std::fs::write(&broken, "only words").unwrap();
    store.store("e.jpg", "image/jpeg", &broken).await.unwrap();
    let file = File { key: "e.jpg".into(), content_type: "image/jpeg".into(), bytes: 10, width: 1 };
    assert_eq!(store.thumbnail(&file).await.unwrap_err().class, jobs::contract::Class::Permanent);
}

/// What stands under this name of a store that lists its own files besides.
fn of_workspace(system: &System) -> Vec<String> {
    stored(system).into_keys().filter(|key| !key.starts_with('.')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_nothing_uses_go_and_files_of_posts_stay() {
    let mut system = System::start().await;
    system.environment.insert("POSTROOM__RETENTION__SWEEP_EVERY".into(), "100ms".into());
    system.database.own_clock().await;
    let used = system.upload("used.jpg", picture()).await;
    let mut later = system.wish("far ahead", &["facebook_page"], std::slice::from_ref(&used));
    let at = system.database.now().await + chrono::TimeDelta::days(30);
    later["schedule"] = json!({ "at": at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true) });
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&later)).await;
    assert_eq!(status, 202, "{post}");
    let unused = system.upload("unused.jpg", picture()).await;
    let promise = json!({ "type": "image/jpeg", "bytes": picture().len() });
    let (status, upload) = system.api(Method::POST, "/api/v1/media/uploads", Some(&promise)).await;
    assert_eq!(status, 201, "{upload}");
    let mut form = reqwest::multipart::Form::new();
    for (name, value) in upload["fields"].as_object().unwrap() {
        form = form.text(name.clone(), value.as_str().unwrap().to_owned());
    }
    let form = form.part("file", reqwest::multipart::Part::bytes(picture()).file_name("x"));
    let sent =
        crate::harness::client().post(upload["url"].as_str().unwrap()).multipart(form).send().await.unwrap();
    assert_eq!(sent.status(), 204);
    // a process died between storing a file and keeping it
    let path = system.logs().join("left");
    std::fs::write(&path, picture()).unwrap();
    store(&system).store("left/behind.jpg", "image/jpeg", &path).await.unwrap();
    let left = "INSERT INTO spare_object (object_key, remove_at) VALUES ('left/behind.jpg', ledger_now() + interval '6 h')";
    sqlx::query(left).execute(&system.database.pool).await.unwrap();
    let before = of_workspace(&system).len();

    system.start_worker(&[]);
    let begun = system.database.now().await;
    system.database.set_clock(begun + chrono::TimeDelta::hours(23)).await;
    eventually("what was stored and not kept to go", || async {
        let there = of_workspace(&system);
        if there.iter().any(|key| key.starts_with("left/")) { Err(format!("{there:?}")) } else { Ok(()) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM upload").await, 1);
    system.database.set_clock(begun + chrono::TimeDelta::hours(25)).await;
    eventually("the upload to go", || async {
        let there = of_workspace(&system);
        if there.iter().any(|key| key.contains("/incoming/")) { Err(format!("{there:?}")) } else { Ok(()) }
    })
    .await;
    assert_eq!(system.database.count("SELECT count(*) FROM media").await, 2);
    system.database.set_clock(begun + chrono::TimeDelta::hours(49)).await;
    let gone = format!("/api/v1/media/{unused}");
    eventually("the unused file to go", || async {
        match system.api(Method::GET, &gone, None).await {
            (404, _) => Ok(()),
            (status, body) => Err(format!("{status} {body}")),
        }
    })
    .await;
    eventually("nothing to be left to remove", || async {
        match system.database.count("SELECT count(*) FROM spare_object").await {
            0 => Ok(()),
            n => Err(n.to_string()),
        }
    })
    .await;
    assert_eq!(of_workspace(&system).len(), before - 3);
    assert_eq!(system.api(Method::GET, &format!("/api/v1/media/{used}"), None).await.0, 200);
    let kept = "SELECT count(*) FROM media m JOIN post_media pm ON pm.media_id = m.id";
    assert_eq!(system.database.count(kept).await, 1);
    // and a post that names what is gone is told so
    let (status, problem) = system
        .api(Method::POST, "/api/v1/posts", Some(&system.wish("too late", &[INSTAGRAM], &[unused])))
        .await;
    assert_eq!((status, &problem["errors"][0]["code"]), (422, &json!("media_unknown")), "{problem}");
}

#[tokio::test]
async fn a_file_that_a_post_is_just_taking_up_is_not_given_up() {
    let door = Door::open().await;
    let file = door.upload("a.jpg", &jpeg(40, 40)).await.json()["id"].as_str().unwrap().to_owned();
    let drop_all = || door.scratch.ledger.drop_unused_media(std::time::Duration::ZERO, None, 10);
    // what accepting a post holds until it commits
    let mut accepting = door.scratch.connection().await;
    let hold = format!("BEGIN; SELECT FROM media WHERE id = '{file}' FOR KEY SHARE");
    accepting.execute(sqlx::AssertSqlSafe(hold)).await.unwrap();
    assert!(drop_all().await.unwrap().is_some(), "it was looked at");
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 1);
    accepting.execute("ROLLBACK").await.unwrap();
    // a post has it: no walk gives it up
    let account = door.account("facebook_page").await;
    let wish = json!({ "caption": "x", "media_ids": [file], "targets": [{ "account_id": account }] });
    assert_eq!(door.post(&wish).await.status, 202);
    drop_all().await.unwrap();
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 1);
    // no post has it any more
    door.scratch.run("DELETE FROM post_media").await;
    drop_all().await.unwrap();
    assert_eq!(door.scratch.number("SELECT count(*) FROM media").await, 0);
    assert_eq!(
        door.scratch.number("SELECT count(*) FROM spare_object WHERE remove_at <= ledger_now()").await,
        1
    );
}

/// The memory that a process holds of its own, in bytes: all that is resident but the program's pages in the file it was
/// started from, of which an unoptimised build has many.
#[cfg(target_os = "linux")]
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kilobytes: u64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

/// Does something, and tells the most memory that a process held meanwhile.
#[cfg(target_os = "linux")]
pub async fn watched<T>(pid: u32, work: impl Future<Output = T>) -> (T, u64) {
    let mut work = std::pin::pin!(work);
    let (mut tick, mut most) = (tokio::time::interval(std::time::Duration::from_millis(10)), 0);
    loop {
        tokio::select! {
            done = &mut work => return (done, most),
            _ = tick.tick() => most = most.max(memory(pid)),
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_film_goes_through_the_door_and_to_a_network_in_little_memory() {
    const MOST: u64 = 100 << 20;
    const LENGTH: u64 = 120 << 20;
    let system = System::with_workers(1).await;
    // a film, and behind it a box that players skip
    let mut whole = film();
    whole.extend_from_slice(&u32::try_from(LENGTH - film().len() as u64).unwrap().to_be_bytes());
    whole.extend_from_slice(b"free");
    let path = system.logs().join("large.mp4");
    std::fs::write(&path, &whole).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(LENGTH).unwrap();

    let (web, worker) = (system.web.as_ref().unwrap().pid().unwrap(), system.workers[0].pid().unwrap());
    let file = reqwest::Body::from(tokio::fs::File::open(&path).await.unwrap());
    let part = reqwest::multipart::Part::stream_with_length(file, LENGTH).file_name("large.mp4");
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = crate::harness::client().post(system.url("/api/v1/media")).bearer_auth(&system.key);
    let (answer, most) = watched(web, request.multipart(form).send()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 201);
    let media: Value = answer.json().await.unwrap();
    assert_eq!(media["bytes"], json!(LENGTH));
    assert!(most > 1 << 20 && most < MOST, "the intake held {} MB", most >> 20);

    let wish = system.wish("a large film", &[TIKTOK], &[media["id"].as_str().unwrap().to_owned()]);
    let (status, post) = system.api(Method::POST, "/api/v1/posts", Some(&wish)).await;
    assert_eq!(status, 202, "{post}");
    let path = format!("/api/v1/posts/{}", post["id"].as_str().unwrap());
    let out = eventually_within(std::time::Duration::from_mins(5), "the film to be out", || async {
        let (_, post) = system.api(Method::GET, &path, None).await;
        if post["state"] == "published" { Ok(()) } else { Err(post.to_string()) }
    });
    let ((), most) = watched(worker, out).await;
    assert!(most > 1 << 20 && most < MOST, "the worker held {} MB", most >> 20);
}
