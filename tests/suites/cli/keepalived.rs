//! The example with keepalived.

use crate::Case;

pub(crate) const CASES: &[Case] = &[];
