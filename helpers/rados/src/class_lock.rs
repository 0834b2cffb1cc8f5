//! The object class `lock` on the wire: what its methods are given, and what they answer (ceph's cls_lock; FACTS A6).
//!
//! Written and read byte by byte, little-endian on every machine. A structure is a version, the oldest version that
//! may read it, its length in bytes, and its fields; a reader skips what a newer writer has added.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The class.
pub(crate) const CLASS: &CStr = c"lock";
/// The name of the lock and its holder's cookie, as Samba's helper has them: one lock for both (P8).
const NAME: &str = "ctdb_reclock_mutex";
/// What `rados lock info` shows of a lock of ours.
const DESCRIPTION: &str = "CTDB cluster lock";

/// `CEPH_ENTITY_TYPE_CLIENT`
const CLIENT: u8 = 8;
/// `LOCK_EXCLUSIVE`
const EXCLUSIVE: u8 = 1;
/// `LOCK_FLAG_MUST_RENEW`: prolong what is ours, and never take anything (FACTS A1).
const MUST_RENEW: u8 = 2;

/// What a lock request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// The lock, where nobody has it.
    Take,
    /// More time for the lock that is ours.
    Renew,
}

/// The input of method `lock`. `lease`: `None` for no expiry.
pub(crate) fn lock(request: Request, lease: Option<Duration>) -> Vec<u8> {
    let lease = lease.unwrap_or_default();
    let mut fields = Vec::new();
    text(&mut fields, NAME);
    fields.push(EXCLUSIVE);
    text(&mut fields, NAME);
    text(&mut fields, "");
    text(&mut fields, DESCRIPTION);
    // At most a day.
    number(&mut fields, u32::try_from(lease.as_secs()).unwrap_or(u32::MAX));
    number(&mut fields, lease.subsec_nanos());
    fields.push(if request == Request::Renew { MUST_RENEW } else { 0 });
    structure(fields)
}

/// The input of method `unlock`.
pub(crate) fn unlock() -> Vec<u8> {
    let mut fields = Vec::new();
    text(&mut fields, NAME);
    text(&mut fields, NAME);
    structure(fields)
}

/// The input of method `break_lock`: whose lock is taken away. It asks for no tag.
pub(crate) fn break_lock(client: u64, cookie: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    text(&mut fields, NAME);
    fields.push(CLIENT);
    fields.extend(client.to_le_bytes());
    counted(&mut fields, cookie);
    structure(fields)
}

/// The input of method `get_info`.
pub(crate) fn get_info() -> Vec<u8> {
    let mut fields = Vec::new();
    text(&mut fields, NAME);
    structure(fields)
}

fn structure(fields: Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![1, 1];
    number(&mut bytes, u32::try_from(fields.len()).unwrap_or(u32::MAX));
    bytes.extend(fields);
    bytes
}

fn number(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend(number.to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    counted(bytes, text.as_bytes());
}

fn counted(bytes: &mut Vec<u8>, counted: &[u8]) {
    number(bytes, u32::try_from(counted.len()).unwrap_or(u32::MAX));
    bytes.extend(counted);
}

/// A holder of the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its number in the cluster: it is `client.<number>`.
    pub(crate) client: u64,
    /// `ctdb_reclock_mutex`, unless somebody else's program took it.
    pub(crate) cookie: Vec<u8>,
    /// When the lock runs out, from 1970 by the OSD's clock; `None` for never.
    pub(crate) expires: Option<Duration>,
    /// `IP:PORT/NONCE`, as `ceph osd blocklist` takes it; `None` where it is written in a form of before 2016.
    pub(crate) address: Option<String>,
}

/// The output of method `get_info`: who holds the lock; more than one where somebody else's program shares it. `None`
/// where it is not what cls_lock writes.
pub(crate) fn holders(output: &[u8]) -> Option<Vec<Holder>> {
    let mut reply = Reader(output).structure()?;
    let count = reply.u32()?;
    // Not collected by the count: it may say anything.
    (0..count).map(|_| holder(&mut reply)).collect()
}

fn holder(reply: &mut Reader<'_>) -> Option<Holder> {
    let mut id = reply.structure()?;
    // Of which kind of entity: always a client.
    id.take(1)?;
    let client = u64::from_le_bytes(id.array()?);
    let cookie = id.counted()?.to_vec();
    let mut info = reply.structure()?;
    let (seconds, nanos) = (info.u32()?, info.u32()?);
    let expires = Duration::new(seconds.into(), nanos.min(999_999_999));
    let address = info.address();
    Some(Holder { client, cookie, expires: Some(expires).filter(|time| !time.is_zero()), address })
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn structure(&mut self) -> Option<Self> {
        self.take(2)?;
        self.counted().map(Self)
    }

    /// Ceph's `entity_addr_t`.
    fn address(&mut self) -> Option<String> {
        // An older form begins with 0.
        if self.take(1)? != [1] {
            return None;
        }
        let mut address = self.structure()?;
        let _kind = address.u32()?;
        let nonce = address.u32()?;
        let mut socket = Self(address.counted()?);
        let family = u16::from_le_bytes(socket.array()?);
        let port = u16::from_be_bytes(socket.array()?);
        let ip = match i32::from(family) {
            nix::libc::AF_INET => IpAddr::from(Ipv4Addr::from(socket.array::<4>()?)),
            nix::libc::AF_INET6 => {
                let _flow = socket.take(4)?;
                IpAddr::from(Ipv6Addr::from(socket.array::<16>()?))
            }
            _ => return None,
        };
        Some(format!("{}/{nonce}", std::net::SocketAddr::new(ip, port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte, so that it fails on a machine of the other byte order if anything depends on it.
    #[test]
    fn a_lock_request_is_what_ceph_reads() {
        let mut expected = vec![1, 1, 79, 0, 0, 0];
        expected.extend(b"\x12\0\0\0ctdb_reclock_mutex\x01\x12\0\0\0ctdb_reclock_mutex\0\0\0\0");
        expected.extend(b"\x11\0\0\0CTDB cluster lock\x09\0\0\0\0\0\0\0\x02");
        assert_eq!(lock(Request::Renew, Some(Duration::from_secs(9))), expected);
        assert_eq!(lock(Request::Take, None).last_chunk(), Some(&[0; 9]));
    }

    #[test]
    fn a_request_to_break_is_what_ceph_reads() {
        let mut expected = vec![1, 1, 36, 0, 0, 0];
        expected.extend(b"\x12\0\0\0ctdb_reclock_mutex\x08\x1b\x10\0\0\0\0\0\0\x01\0\0\0c");
        assert_eq!(break_lock(4123, b"c"), expected);
    }

    /// In the form of Ceph 16.2, for a client with an IPv4 address.
    fn answer() -> Vec<u8> {
        let mut holder = structure([&[8][..], &4123_u64.to_le_bytes(), b"\x01\0\0\0c"].concat());
        let socket = [2, 0, 0x1a, 0x90, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
        let address = structure([&[1, 0, 0, 0][..], &77_u32.to_le_bytes(), &[16, 0, 0, 0], &socket].concat());
        let expiration = [5, 0, 0, 0, 0, 0, 0, 0];
        holder.extend(structure([&expiration[..], &[1], &address, b"\0\0\0\0"].concat()));
        structure([&[1, 0, 0, 0][..], &holder, &[1], b"\0\0\0\0"].concat())
    }

    #[test]
    fn the_holder_is_read() {
        let holder = Holder {
            client: 4123,
            cookie: b"c".to_vec(),
            expires: Some(Duration::from_secs(5)),
            address: Some("10.0.0.7:6800/77".into()),
        };
        assert_eq!(holders(&answer()), Some(vec![holder]));
        assert_eq!(holders(&structure(vec![0; 9])), Some(Vec::new()));
    }

    #[test]
    fn no_answer_however_broken_is_more_than_an_error() {
        let answer = answer();
        for length in 0..answer.len() {
            let _ = holders(&answer[..length]);
        }
        for place in 0..answer.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = answer.clone();
                broken[place] = value;
                let _ = holders(&broken);
            }
        }
        assert_eq!(holders(&structure(vec![0xff; 64])), None);
    }
}
