//! The tool on a terminal.

use crate::Case;

pub(crate) const CASES: &[Case] = &[];
