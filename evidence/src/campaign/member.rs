//! A member of a store, which several faults hit at once.

use std::cell::Cell;

use super::stage::NothingToHit;

/// Something that several faults do at once and that is done once: a member is frozen by the first of them, and goes on
/// after the last.
#[derive(Debug, Default)]
pub struct Counted(Cell<u32>);

impl Counted {
    /// One fault more; `deed` is done for the first.
    ///
    /// # Errors
    /// The deed's.
    pub fn raise(&self, deed: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.0.set(self.0.get() + 1);
        if self.0.get() == 1 { deed() } else { Ok(()) }
    }

    /// One fault less; `deed` is done after the last.
    ///
    /// # Errors
    /// The deed's.
    pub fn lower(&self, deed: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.0.set(self.0.get().saturating_sub(1));
        if self.0.get() == 0 { deed() } else { Ok(()) }
    }

    /// Whether a fault does it now.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.get() > 0
    }
}

/// A member: frozen by the first fault that freezes it, and going on after the last; the same with taking it down. One that
/// is down is frozen as it comes up.
#[derive(Debug, Default)]
pub struct Member {
    frozen: Counted,
    down: Counted,
}

impl Member {
    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        !self.frozen.is_raised() && !self.down.is_raised()
    }

    /// Whether it can be killed: frozen or not.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.down.is_raised()
    }

    /// Freezes it; `deed` does so.
    ///
    /// # Errors
    /// The deed's.
    pub fn freeze(&self, deed: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.frozen.raise(|| if self.down.is_raised() { Ok(()) } else { deed() })
    }

    /// Takes that back.
    ///
    /// # Errors
    /// The deed's.
    pub fn thaw(&self, deed: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.frozen.lower(|| if self.down.is_raised() { Ok(()) } else { deed() })
    }

    /// Takes it down.
    ///
    /// # Errors
    /// The deed's.
    pub fn take_down(&self, deed: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.down.raise(deed)
    }

    /// Takes that back.
    ///
    /// # Errors
    /// The deeds'.
    pub fn bring_up(
        &self,
        start: impl FnOnce() -> anyhow::Result<()>,
        freeze: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.down.lower(|| {
            start()?;
            if self.frozen.is_raised() { freeze() } else { Ok(()) }
        })
    }
}

/// That one of these can be hit: what is done to those that are frozen, or dead, already is no fault.
///
/// # Errors
/// [`NothingToHit`].
pub fn one<'a>(members: impl IntoIterator<Item = &'a Member>, can_be_hit: fn(&Member) -> bool) -> anyhow::Result<()> {
    if members.into_iter().any(can_be_hit) { Ok(()) } else { Err(NothingToHit.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_faults_do_is_done_once_and_undone_after_the_second() {
        let (counted, done, undone) = (Counted::default(), Cell::new(0), Cell::new(0));
        let note = |cell: &Cell<u32>| {
            cell.set(cell.get() + 1);
            Ok(())
        };
        counted.raise(|| note(&done)).unwrap();
        counted.raise(|| note(&done)).unwrap();
        counted.lower(|| note(&undone)).unwrap();
        assert_eq!((done.get(), undone.get(), counted.is_raised()), (1, 0, true));
        counted.lower(|| note(&undone)).unwrap();
        assert_eq!((done.get(), undone.get(), counted.is_raised()), (1, 1, false));
    }

    #[test]
    fn a_member_that_is_down_is_frozen_as_it_comes_up_and_runs_after_the_last_fault() {
        let (member, did) = (Member::default(), std::cell::RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let did = &did;
            move || {
                did.borrow_mut().push(what);
                Ok(())
            }
        };
        assert!(one([&member], Member::runs).is_ok());
        member.take_down(note("kill")).unwrap();
        member.freeze(note("freeze")).unwrap();
        assert!(one([&member], Member::is_up).unwrap_err().is::<NothingToHit>());
        assert!(one([&member, &Member::default()], Member::is_up).is_ok());
        member.bring_up(note("start"), note("freeze")).unwrap();
        assert!(member.is_up() && !member.runs());
        member.thaw(note("thaw")).unwrap();
        assert!(member.runs());
        assert_eq!(*did.borrow(), ["kill", "start", "freeze", "thaw"]);
    }
}
