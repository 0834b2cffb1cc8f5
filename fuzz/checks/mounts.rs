//! `/proc/self/mountinfo`, whose names anybody chooses who may mount something.

use crate::mount::find;

/// A mount is found by its number alone, and nothing in a name makes another of it.
///
/// # Panics
/// Where a field is read as another.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines().take(64) {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = fields[0];
        let Some(mount) = find(&text, number) else { continue };
        // The first line of that number that is one at all.
        let of = |line: &&str| line.split(' ').next() == Some(number) && find(line, number).is_some();
        let own: Vec<&str> = text.lines().find(of).expect("it was found").split(' ').collect();
        let dash = own.iter().skip(6).position(|&field| field == "-").expect("fields and then a dash") + 6;
        let moosefs = own[dash + 1] == "fuse" && mount.kind == "fuse.mfs";
        assert!(moosefs || mount.kind == own[dash + 1]);
        assert_eq!(mount.options.join(","), format!("{},{}", own[5], own[dash + 3]));
        assert!(mount.point.len() <= 2 * own[4].len());
        if !own[4].contains('\\') {
            assert_eq!(mount.point, own[4]);
        }
        let _ = (mount.is_fuse(), mount.is_moosefs(), mount.is_called("fuse"), mount.value("rw"), mount.has("rw"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("mounts", super::check);
    }
}
