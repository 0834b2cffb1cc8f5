//! Faults: named things that a case does to a store and takes back.

/// Something done to a store.
type Deed<'a> = Box<dyn Fn() -> anyhow::Result<()> + 'a>;

/// A fault with a name. README.md lists them.
pub struct Fault<'a> {
    name: &'static str,
    inject: Deed<'a>,
    heal: Deed<'a>,
}

impl<'a> Fault<'a> {
    /// A fault and what takes it back.
    pub fn new(
        name: &'static str,
        inject: impl Fn() -> anyhow::Result<()> + 'a,
        heal: impl Fn() -> anyhow::Result<()> + 'a,
    ) -> Self {
        Self { name, inject: Box::new(inject), heal: Box::new(heal) }
    }

    /// Its name, as in the README's table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Does it, and returns what takes it back: for who has many at once, and an end of his own for all.
    pub fn begin(self) -> anyhow::Result<Box<dyn FnOnce() -> anyhow::Result<()> + 'a>> {
        let Self { name, inject, heal } = self;
        inject().map_err(|error| error.context(format!("inject the fault {name:?}")))?;
        Ok(Box::new(move || heal().map_err(|error| error.context(format!("heal the fault {name:?}")))))
    }

    /// Does it. It is taken back when the returned value ends, so also when the case fails.
    pub fn inject(&self) -> anyhow::Result<Injected<'_>> {
        (self.inject)().map_err(|error| error.context(format!("inject the fault {:?}", self.name)))?;
        Ok(Injected { fault: self, healed: false })
    }
}

/// A fault that lasts.
#[must_use = "the fault is healed when this value ends"]
pub struct Injected<'a> {
    fault: &'a Fault<'a>,
    healed: bool,
}

impl Injected<'_> {
    /// Takes the fault back.
    pub fn heal(mut self) -> anyhow::Result<()> {
        self.healed = true;
        (self.fault.heal)().map_err(|error| error.context(format!("heal the fault {:?}", self.fault.name)))
    }
}

impl Drop for Injected<'_> {
    fn drop(&mut self) {
        if !self.healed {
            // The case has failed already; the service's own end cleans up what this leaves.
            let _ = (self.fault.heal)();
        }
    }
}
