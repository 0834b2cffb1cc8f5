//! The token of a holding: words that a backend chooses so that they name one holding and no later one.
//!
//! It travels through `--status --json`, a script and `--break`, and its words may be hostile (a RADOS cookie and an etcd
//! key are any bytes): so all but the harmless characters are written as `%` and two hexadecimal digits, and a token can
//! neither be read in two ways nor drive a terminal.

/// Longest token: an etcd key or a RADOS cookie is shorter where a program of sense made it.
const LENGTH_MAX: usize = 4096;

const SEPARATOR: char = ':';

/// The token of these words; `None` where they are too long for one.
#[must_use]
pub fn join(words: &[&[u8]]) -> Option<String> {
    if words.iter().map(|word| word.len()).sum::<usize>() > LENGTH_MAX {
        return None;
    }
    let words: Vec<String> = words.iter().map(|word| word.iter().map(|&byte| shown(byte)).collect()).collect();
    Some(words.join(&SEPARATOR.to_string())).filter(|token| token.len() <= LENGTH_MAX)
}

/// The words of a token; `None` where it is none that [`join`] makes of so many words.
#[must_use]
pub fn split<const N: usize>(token: &str) -> Option<[Vec<u8>; N]> {
    if token.len() > LENGTH_MAX {
        return None;
    }
    let words = token.split(SEPARATOR).map(word).collect::<Option<Vec<_>>>()?;
    let exact: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    // One token, one spelling.
    if join(&exact).as_deref() != Some(token) {
        return None;
    }
    words.try_into().ok()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/')
}

fn shown(byte: u8) -> String {
    if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }
}

fn word(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut word = Vec::new();
    while let Some(byte) = bytes.next() {
        word.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_words_come_back_and_the_token_is_harmless() {
        let every: Vec<u8> = (0..=255).collect();
        for words in [[&b"client.4123"[..], b"ctdb_reclock_mutex"], [b"", b""], [b"a:b%3a", &every]] {
            let token = join(&words).unwrap();
            assert!(token.bytes().all(|byte| is_plain(byte) || matches!(byte, b'%' | b':')), "{token}");
            assert_eq!(split::<2>(&token), Some(words.map(<[u8]>::to_vec)));
        }
        assert_eq!(join(&[b"client.4123", b"a b"]).as_deref(), Some("client.4123:a%20b"));
        assert_eq!(join(&[&[b'a'; LENGTH_MAX], b""]), None);
    }

    #[test]
    fn what_join_does_not_make_is_no_token() {
        for text in
            ["", "a", "a:b:c", "a:%", "a:%4", "a:%zz", "a:%+1", "a:%41", "a:%2F", "a:b ", "a:\u{fc}", "a:%\u{fc}"]
        {
            assert_eq!(split::<2>(text), None, "{text}");
        }
        assert_eq!(split::<2>(&format!("a:{}", "b".repeat(LENGTH_MAX))), None);
    }
}
