//! The seeds of a target, run as an ordinary test: each as it stands, cut anywhere, and with each of its bytes made hostile.
//! It is no fuzzing, but a check that breaks, or a product that it catches at once, is seen without libFuzzer.

use std::fs;
use std::path::Path;

/// Bytes that mean something to one reader or another.
const HOSTILE: [u8; 12] = [0, 0x0a, 0x0d, 0x1b, b' ', b'"', b'%', b'=', b'\\', 0x7f, 0x80, 0xff];

/// No seed is so long that more is needed; a longer one is only changed near its beginning.
const PLACES: usize = 160;

/// Runs `check` over the seeds of `target` and what is next to them.
pub(crate) fn replay(target: &str, check: impl Fn(&[u8])) {
    each(target, |seed| {
        check(seed);
        for place in 0..seed.len().min(PLACES) {
            check(&seed[..place]);
            for byte in HOSTILE {
                let mut changed = seed.to_vec();
                changed[place] = byte;
                check(&changed);
                changed.insert(place, seed[place]);
                check(&changed);
            }
        }
    });
}

/// Runs `check` over the seeds alone.
fn each(target: &str, check: impl Fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|top| top.join("fuzz/seeds").join(target))
        .find(|path| path.is_dir())
        .unwrap_or_else(|| panic!("there is no fuzz/seeds/{target}"));
    let mut found = 0;
    for seed in fs::read_dir(seeds).unwrap() {
        check(&fs::read(seed.unwrap().path()).unwrap());
        found += 1;
    }
    assert!(found > 0, "fuzz/seeds/{target} is empty");
}
