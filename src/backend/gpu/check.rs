//! Samples of what the device computed, computed again by GMP.

use rug::Integer;

use super::code::{Code, Kind, Place, Step};
use crate::modulus::wipe;

/// What one output of one item rests on.
pub(super) struct Sample {
    steps: Vec<Step>,
    output: Place,
    slots: usize,
    /// Inputs of the item that are read, in the order of [`Sample::value`]'s first argument.
    pub(super) inputs: Vec<u32>,
    /// Table entries that are read, in the order of its second.
    pub(super) entries: Vec<u32>,
    digits: Vec<u16>,
}

impl Drop for Sample {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.digits);
        zeroize::Zeroize::zeroize(&mut self.entries);
    }
}

impl Sample {
    /// The sample of an output, for an item with these digits.
    pub(super) fn of(code: &Code, output: Place, digits: &[u16]) -> Self {
        let steps = code.cone(output);
        let mut sample = Self { steps, output, slots: code.slots, inputs: Vec::new(), entries: Vec::new(), digits: digits.to_vec() };
        let places = sample.steps.iter().flat_map(|step| [step.a, sample.second(step)]).chain([output]);
        let (mut inputs, mut entries) = (Vec::new(), Vec::new());
        for place in places {
            match place {
                Place::Input(at) => inputs.push(at),
                Place::Table(at) => entries.push(at),
                Place::Slot(_) | Place::Constant(_) => {}
            }
        }
        for list in [&mut inputs, &mut entries] {
            list.sort_unstable();
            list.dedup();
        }
        (sample.inputs, sample.entries) = (inputs, entries);
        sample
    }

    /// Where the second factor of a step is.
    fn second(&self, step: &Step) -> Place {
        let digit = |window: u32| u32::from(self.digits.get(window as usize).copied().unwrap_or(0));
        match (step.kind, step.b) {
            (Kind::Digit(window) | Kind::Scan(window), Place::Slot(at)) => Place::Slot(at + digit(window)),
            (Kind::Digit(window) | Kind::Scan(window), Place::Table(at)) => Place::Table(at + digit(window)),
            (_, place) => place,
        }
    }

    /// The value of the output. Time depends on the values.
    pub(super) fn value(&self, inputs: &[Integer], entries: &[Integer], modulus: &Integer) -> Integer {
        let one = Integer::from(1) % modulus;
        let mut slots = vec![Integer::new(); self.slots];
        let find = |list: &[u32], at: u32| list.binary_search(&at).unwrap_or(0);
        for step in &self.steps {
            let at = |place: Place| match place {
                Place::Input(at) => &inputs[find(&self.inputs, at)],
                Place::Table(at) => &entries[find(&self.entries, at)],
                Place::Slot(at) => &slots[at as usize],
                Place::Constant(_) => &one,
            };
            let product = Integer::from(at(step.a) * at(self.second(step))) % modulus;
            slots[step.to as usize] = product;
        }
        let value = match self.output {
            Place::Input(at) => inputs[find(&self.inputs, at)].clone(),
            Place::Table(at) => entries[find(&self.entries, at)].clone(),
            Place::Slot(at) => slots[at as usize].clone(),
            Place::Constant(_) => one,
        };
        slots.iter_mut().for_each(wipe);
        value
    }
}
