//! `--help` and its examples, completion.

use crate::Case;

pub(crate) const CASES: &[Case] = &[];
