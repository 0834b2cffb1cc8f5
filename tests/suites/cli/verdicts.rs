//! `test`: its verdicts.

use crate::Case;

pub(crate) const CASES: &[Case] = &[];
