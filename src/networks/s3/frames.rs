//! Pictures and the sound of a film, by ffmpeg: where a scene changes, and at fixed steps.

use std::{path::Path, time::Duration};

use jobs::{
    analysis::{Cuts, Film, review::Shot},
    contract::{Class, Failure},
};

use super::{
    film::{CODE, SLOWEST_FRAME, ffmpeg, of_address, run, run_or, unusable},
    folders::folder,
};
use tokio::process::Command;

/// More pictures than a film has that are so far apart, and than are kept: they are thinned evenly, so that its end is seen
/// as well as its beginning.
const MOST_TAKEN: usize = 96;
/// A film that takes longer to be gone through is too long for this.
const SLOWEST_LOOK: Duration = Duration::from_mins(4);
/// The code of that.
const TOO_LONG: &str = "film_too_long";
/// The most seconds of sound: the provider takes 25 MiB.
const MOST_SOUND: &str = "3600";

/// Looks through the film at this address of the store.
///
/// # Errors
/// ffmpeg is missing; or it says no, or takes too long: `Class::Permanent`.
pub async fn look_through(address: &str, content_type: &str, cuts: &Cuts) -> Result<Film, Failure> {
    let folder = folder().map_err(|error| unusable(&error))?;
    let times = take(address, content_type, cuts, folder.path()).await?;
    let mut shots = Vec::new();
    for (n, at_ms) in thinned(&times, cuts.most) {
        let jpeg = tokio::fs::read(folder.path().join(format!("{:03}.jpg", n + 1))).await;
        shots.push(Shot { at_ms: Some(at_ms), jpeg: jpeg.map_err(|error| unusable(&error))? });
    }
    if shots.is_empty() {
        return Err(Failure::new(Class::Permanent, CODE, "the film shows nothing"));
    }
    let sound = if has_sound(address, content_type).await? {
        Some(sound(address, content_type, folder.path()).await?)
    } else {
        None
    };
    Ok(Film { shots, sound })
}

/// Takes pictures into the folder, and tells the time of each.
async fn take(address: &str, content_type: &str, cuts: &Cuts, folder: &Path) -> Result<Vec<u64>, Failure> {
    let (every, apart) = (cuts.every.as_secs_f64(), cuts.apart.as_secs_f64());
    let select = format!(
        "select='isnan(prev_selected_t)+gte(t-prev_selected_t\\,{every:.3})+gt(scene\\,0.35)*gte(t-prev_selected_t\\,{apart:.3})'"
    );
    let filter = format!("{select},scale='min({},iw)':-2,metadata=print:file=-", cuts.width);
    let mut command = ffmpeg();
    of_address(&mut command, address, content_type);
    command.args(["-map", "0:v:0", "-vf", &filter, "-fps_mode", "vfr", "-frames:v", &MOST_TAKEN.to_string()]);
    command
        .args(["-c:v", "mjpeg", "-q:v", "4", "-map_metadata", "-1", "-f", "image2"])
        .arg(folder.join("%03d.jpg"));
    let told = go_through(command, SLOWEST_LOOK).await?;
    Ok(times(&String::from_utf8_lossy(&told)))
}

/// The times in what the filter prints: `frame:2    pts:38400   pts_time:3`.
fn times(told: &str) -> Vec<u64> {
    let time = |line: &str| line.split("pts_time:").nth(1)?.trim().parse::<f64>().ok();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a film is shorter than that"
    )]
    let millis = |seconds: f64| (seconds.max(0.0) * 1_000.0).round() as u64;
    told.lines().filter(|line| line.starts_with("frame:")).filter_map(time).map(millis).collect()
}

/// At most so many of them, evenly, the first and the last among them; each with its place.
fn thinned(times: &[u64], most: usize) -> Vec<(usize, u64)> {
    let numbered = times.iter().copied().enumerate();
    if times.len() <= most || most < 2 {
        return numbered.take(most).collect();
    }
    (0..most).map(|n| n * (times.len() - 1) / (most - 1)).map(|n| (n, times[n])).collect()
}

async fn has_sound(address: &str, content_type: &str) -> Result<bool, Failure> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "a", "-show_entries", "stream=index", "-of", "csv=p=0"]);
    of_address(&mut command, address, content_type);
    Ok(!run(command, SLOWEST_FRAME).await?.trim_ascii().is_empty())
}

/// The sound, small and with one channel: words are understood as well.
async fn sound(address: &str, content_type: &str, folder: &Path) -> Result<Vec<u8>, Failure> {
    let made = folder.join("sound.m4a");
    let mut command = ffmpeg();
    of_address(&mut command, address, content_type);
    command.args([
        "-map", "0:a:0", "-vn", "-ac", "1", "-ar", "16000", "-c:a", "aac", "-b:a", "48k", "-t", MOST_SOUND,
    ]);
    command
        .args(["-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", "-f", "mp4", "-y"])
        .arg(&made);
    go_through(command, SLOWEST_LOOK).await?;
    tokio::fs::read(&made).await.map_err(|error| unusable(&error))
}

/// Goes through all of a film. One that takes longer takes as long the next time.
async fn go_through(command: Command, longest: Duration) -> Result<Vec<u8>, Failure> {
    let why = "the film is too long to be looked through: whoever made it cuts it shorter, and asks again";
    run_or(command, longest, || Failure::new(Class::Permanent, TOO_LONG, why)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_read_of_what_the_filter_prints() {
        let told = "frame:0    pts:0       pts_time:0\nlavfi.scene_score=0.000000\n\
                    frame:1    pts:38400   pts_time:3.04\nlavfi.scene_score=0.400000\n";
        assert_eq!(times(told), [0, 3_040]);
        assert_eq!(times("nothing"), [0; 0]);
    }

    #[tokio::test]
    async fn a_film_that_takes_too_long_is_not_looked_through_again() {
        let mut endless = Command::new("sleep");
        endless.arg("600");
        let failure = go_through(endless, Duration::from_millis(1)).await.expect_err("it takes too long");
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, TOO_LONG));
        assert!(failure.message.contains("too long to be looked through: whoever made it"), "{failure}");
    }

    #[test]
    fn what_is_thinned_keeps_its_first_and_its_last() {
        let all: Vec<u64> = (0..40).map(|n| n * 100).collect();
        let kept = thinned(&all, 16);
        assert_eq!((kept.len(), kept[0], kept[15]), (16, (0, 0), (39, 3_900)));
        assert!(kept.windows(2).all(|two| two[0].0 < two[1].0));
        assert_eq!(thinned(&all[..3], 16), [(0, 0), (1, 100), (2, 200)]);
        assert!(thinned(&[], 16).is_empty());
    }
}
