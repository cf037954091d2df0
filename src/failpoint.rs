//! Places where a test makes the program die, wait or fail: what a crash, a stalled machine or a broken disk does there.
//!
//! In comes the environment variable `FAILPOINTS`, `point=action` pairs separated by `;`, each action at the n-th time that the point is reached
//! and never again (`@n`, first if left out), or from the n-th on (`@n+`):
//! `abort` (the process is gone at once, nothing is closed), `sleep(ms)`, `pause(path)` (makes the file and waits until somebody removes it), `error` and
//! `error-while(path)` (as long as the file is there).
//! Without the cargo feature `failpoints`, which only tests switch on, nothing of it is compiled in.

use std::io;

#[cfg(feature = "failpoints")]
pub use armed::POINTS;

/// Reaches a point that can't fail.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn reach(_point: &'static str) {}

/// Reaches a point that fails if it is told to.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn check(_point: &'static str) -> io::Result<()> {
    Ok(())
}

/// Reaches a point that can't fail.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(point: &'static str) {
    let failed = armed::at(point);
    assert!(failed.is_ok(), "the point {point} can't fail");
}

/// Reaches a point that fails if it is told to.
#[cfg(feature = "failpoints")]
pub(crate) fn check(point: &'static str) -> io::Result<()> {
    armed::at(point)
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        collections::HashMap,
        fs, io,
        path::Path,
        sync::{Mutex, OnceLock, PoisonError},
        thread,
        time::Duration,
    };

    /// Every point, in the order in which a stretch of log passes them.
    pub const POINTS: &[&str] = &[
        "generation-found",
        "generation-noted",
        "before-check",
        "before-read",
        "after-read",
        "chunk-taken",
        "chunk-parsed",
        "last-record-preview",
        "batch-begins",
        "position-stored",
        "gaps-stored",
        "server-stored",
        "executions-stored",
        "statistics-stored",
        "queries-stored",
        "plans-stored",
        "before-commit",
        "after-commit",
    ];

    #[derive(Debug)]
    enum Action {
        Abort,
        Sleep(Duration),
        Pause(String),
        Error,
        ErrorWhile(String),
    }

    #[derive(Debug)]
    struct Armed {
        action: Action,
        from_hit: u64,
        and_after: bool,
    }

    static ARMED: OnceLock<HashMap<String, Armed>> = OnceLock::new();
    static HITS: Mutex<Option<HashMap<&'static str, u64>>> = Mutex::new(None);

    pub(super) fn at(point: &'static str) -> io::Result<()> {
        assert!(POINTS.contains(&point), "{point} is missing in POINTS");
        let armed = ARMED.get_or_init(|| read(&std::env::var("FAILPOINTS").unwrap_or_default()));
        let Some(armed) = armed.get(point) else {
            return Ok(());
        };
        let hit = {
            let mut hits = HITS.lock().unwrap_or_else(PoisonError::into_inner);
            let hit = hits.get_or_insert_default().entry(point).or_default();
            *hit += 1;
            *hit
        };
        if hit != armed.from_hit && !(armed.and_after && hit > armed.from_hit) {
            return Ok(());
        }
        match &armed.action {
            Action::Abort => std::process::abort(),
            Action::Sleep(time) => thread::sleep(*time),
            Action::Pause(path) => {
                fs::write(path, point)?;
                while Path::new(path).exists() {
                    thread::sleep(Duration::from_millis(2));
                }
            }
            Action::ErrorWhile(path) if !Path::new(path).exists() => {}
            Action::Error | Action::ErrorWhile(_) => {
                return Err(io::Error::other(format!("failed at the point {point}")));
            }
        }
        Ok(())
    }

    fn read(text: &str) -> HashMap<String, Armed> {
        let pairs = text.split(';').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| read_one(pair).unwrap_or_else(|| panic!("FAILPOINTS: {pair}")))
            .collect()
    }

    fn read_one(pair: &str) -> Option<(String, Armed)> {
        let (point, action) = pair.split_once('=')?;
        POINTS.contains(&point).then_some(())?;
        let (action, hit) = action.rsplit_once('@').unwrap_or((action, "1"));
        let (hit, and_after) = hit
            .strip_suffix('+')
            .map_or((hit, false), |hit| (hit, true));
        let inside = |name: &str| {
            let rest = action.strip_prefix(name)?;
            rest.strip_prefix('(')?.strip_suffix(')')
        };
        let action = match action {
            "abort" => Action::Abort,
            "error" => Action::Error,
            _ => {
                let sleep = |ms: &str| Some(Action::Sleep(Duration::from_millis(ms.parse().ok()?)));
                let pause = |path: &str| Some(Action::Pause(path.to_owned()));
                let error = |path: &str| Some(Action::ErrorWhile(path.to_owned()));
                inside("sleep")
                    .and_then(sleep)
                    .or_else(|| inside("pause").and_then(pause))
                    .or_else(|| inside("error-while").and_then(error))?
            }
        };
        let from_hit = hit.parse().ok()?;
        Some((
            point.to_owned(),
            Armed {
                action,
                from_hit,
                and_after,
            },
        ))
    }
}
