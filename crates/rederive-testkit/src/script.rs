//! What a test scripted for one point of a wrapper: which calls fail, and how.

use std::collections::VecDeque;

/// Faults of one point, in the order of the calls they befall.
#[derive(Debug)]
pub(crate) struct Script<F> {
    /// How many calls go well before each fault.
    faults: VecDeque<(usize, F)>,
}

impl<F> Default for Script<F> {
    fn default() -> Self {
        Self { faults: VecDeque::new() }
    }
}

impl<F> Script<F> {
    /// Lets `skip` calls after the last scripted one go well, then the fault befalls one.
    pub(crate) fn push(&mut self, skip: usize, fault: F) {
        self.faults.push_back((skip, fault));
    }

    /// The fault befalls so many calls after the last scripted one.
    pub(crate) fn push_times(&mut self, times: usize, fault: F)
    where
        F: Clone,
    {
        self.faults.extend(std::iter::repeat_n((0, fault), times));
    }

    /// What befalls the call that is made now.
    pub(crate) fn next(&mut self) -> Option<F> {
        let (skip, _) = self.faults.front_mut()?;
        if let Some(left) = skip.checked_sub(1) {
            *skip = left;
            return None;
        }
        self.faults.pop_front().map(|(_, fault)| fault)
    }

    /// How many faults are still to come.
    pub(crate) fn len(&self) -> usize {
        self.faults.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_befalls_the_call_it_was_scripted_for() {
        let mut script = Script::default();
        script.push(1, 'a');
        script.push(0, 'b');
        script.push(2, 'c');
        script.push_times(2, 'd');
        let calls: Vec<_> = (0..9).map(|_| script.next()).collect();
        let (a, b, c, d) = (Some('a'), Some('b'), Some('c'), Some('d'));
        assert_eq!(calls, [None, a, b, None, None, c, d, d, None]);
    }
}
