//! The workloads that come with the program, and whatever a user of the library adds to them.
//! A workload is its folder and a line here.

use super::Workload;
use super::inference::Inference;
use super::training::Training;
use crate::error::{Error, Result};
use crate::scheme::linear::LinearScheme;
use crate::scheme::registry::LINEAR;
use crate::spec::Spec;

/// Computations and their protections.
pub struct Registry {
    workloads: Vec<Box<dyn Workload>>,
}

impl Default for Registry {
    /// Everything that comes with the program.
    fn default() -> Self {
        Self::with_schemes(&[])
    }
}

impl Registry {
    /// Everything that comes with the program, and more schemes for linear inference after its own.
    #[must_use]
    pub fn with_schemes(more: &[&'static dyn LinearScheme]) -> Self {
        let schemes = LINEAR.iter().chain(more).copied().collect();
        Self { workloads: vec![Box::new(Inference::new(schemes)), Box::new(Training)] }
    }

    /// The same with one more workload.
    #[must_use]
    pub fn with_workload(mut self, workload: impl Workload + 'static) -> Self {
        self.workloads.push(Box::new(workload));
        self
    }

    /// All workloads, in the order of rows.
    pub fn workloads(&self) -> impl Iterator<Item = &dyn Workload> {
        self.workloads.iter().map(AsRef::as_ref)
    }

    /// The place of a spec's workload in [`Registry::workloads`].
    ///
    /// # Errors
    /// [`Error::Unknown`] for a workload that is not here.
    pub fn place(&self, workload: &str) -> Result<usize> {
        self.workloads
            .iter()
            .position(|known| known.kind().workload == workload)
            .ok_or_else(|| Error::unknown("workload", workload, self.workloads().map(|known| known.kind().workload).collect::<Vec<_>>().join(", ")))
    }

    /// The workload of a name.
    ///
    /// # Errors
    /// As [`Registry::place`].
    pub fn workload(&self, name: &str) -> Result<&dyn Workload> {
        self.place(name).map(|at| self.workloads[at].as_ref())
    }

    /// The spec that a text names.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the forms that are known; those of [`Workload::check`].
    pub fn parse(&self, text: &str) -> Result<Spec> {
        let workload = self.workload(text.split('/').next().unwrap_or_default())?;
        let spec = workload.kind().parse(text)?;
        workload.check(&spec)?;
        Ok(spec)
    }
}
