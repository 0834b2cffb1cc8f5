//! LOCK: from the command line, from ctdb.conf, and wrong.

use crate::Case;

pub(crate) const CASES: &[Case] = &[];
