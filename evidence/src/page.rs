//! The parts of `docs/EVIDENCE.md` that programs write: each stands between two comments with its name. What is around
//! them is written by hand, and holds no figure.

use std::fs;

use anyhow::{Context, ensure};

use crate::record::{self, top};

const PAGE: &str = "docs/EVIDENCE.md";

/// The page that everybody sees first; it has parts too.
pub const README: &str = "README.md";

/// Puts `text` in the place of the part of this name.
///
/// # Errors
/// Where the page has no such part.
pub fn write(part: &str, text: &str) -> anyhow::Result<()> {
    write_in(PAGE, part, text)
}

/// The same of another page of the repository.
///
/// # Errors
/// Where it has no such part.
pub fn write_in(page: &str, part: &str, text: &str) -> anyhow::Result<()> {
    let path = top().join(page);
    let _turn = record::turn()?;
    let old = fs::read_to_string(&path).with_context(|| format!("read {page}"))?;
    let new = replaced(&old, part, text).with_context(|| format!("write the part {part} of {page}"))?;
    record::replace(&path, &new)
}

/// The part of this name as it stands there.
///
/// # Errors
/// Where the page has no such part.
pub fn read(part: &str) -> anyhow::Result<String> {
    read_in(PAGE, part)
}

/// The same of another page of the repository.
///
/// # Errors
/// Where it has no such part.
pub fn read_in(page: &str, part: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(top().join(page)).with_context(|| format!("read {page}"))?;
    let (_, inside, _) = split(&text, part).with_context(|| format!("read the part {part} of {page}"))?;
    Ok(inside.trim().to_owned())
}

fn replaced(page: &str, part: &str, text: &str) -> anyhow::Result<String> {
    let (before, _, after) = split(page, part)?;
    Ok(format!("{before}\n{}\n{after}", text.trim()))
}

/// What is before, in and after a part; the comments belong to before and after.
fn split<'a>(page: &'a str, part: &str) -> anyhow::Result<(&'a str, &'a str, &'a str)> {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {part}: {edge} -->"));
    let from = page.find(&begin).with_context(|| format!("there is no {begin}"))? + begin.len();
    let to = page.find(&end).with_context(|| format!("there is no {end}"))?;
    ensure!(from <= to, "{end} comes before {begin}");
    Ok((&page[..from], &page[from..to], &page[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "head\n<!-- one: begin -->\nold\n<!-- one: end -->\ntail\n";

    #[test]
    fn a_part_is_replaced_and_nothing_else() {
        let page = replaced(TEXT, "one", "new\nlines\n").unwrap();
        assert_eq!(page, "head\n<!-- one: begin -->\nnew\nlines\n<!-- one: end -->\ntail\n");
        assert_eq!(replaced(&page, "one", "old").unwrap(), TEXT);
    }

    /// Figures are written by programs alone.
    #[test]
    fn no_figure_stands_outside_a_part() {
        let mut page = fs::read_to_string(top().join(PAGE)).unwrap();
        let begin =
            |page: &str| page.split("<!-- ").find_map(|text| Some(text.split_once(": begin -->")?.0.to_owned()));
        let mut parts = 0;
        while let Some(part) = begin(&page) {
            let (before, _, after) = split(&page, &part).unwrap();
            page = [before, after].concat().replace(&format!("<!-- {part}: begin --><!-- {part}: end -->"), "");
            parts += 1;
        }
        assert!(parts > 0);
        let with_figures: Vec<&str> = page.lines().filter(|line| line.contains(|c: char| c.is_ascii_digit())).collect();
        assert!(with_figures.is_empty(), "{with_figures:?}");
    }

    #[test]
    fn a_page_without_the_part_is_an_error_that_names_it() {
        let error = replaced(TEXT, "two", "").unwrap_err().to_string();
        assert!(error.contains("<!-- two: begin -->"), "{error}");
    }
}
