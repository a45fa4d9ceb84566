//! A value for threads that are attached to the interpreter.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use pyo3::prelude::*;

/// A value with at most one borrow at a time. A borrow takes no atomic instruction, unlike a lock.
///
/// The module uses the limited API, which only interpreters with a GIL load. So one thread at a time has a `Python` token.
pub(crate) struct AttachedCell<T> {
    is_borrowed: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: a thread reaches the fields with a `Python` token alone, so one thread at a time does. The GIL orders these accesses.
unsafe impl<T: Send> Sync for AttachedCell<T> {}

/// A borrowed value.
pub(crate) struct AttachedRef<'a, T> {
    cell: &'a AttachedCell<T>,
    /// No other thread may end the borrow, which it could do without a token.
    _not_send: PhantomData<*mut T>,
}

impl<T> AttachedCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { is_borrowed: Cell::new(false), value: UnsafeCell::new(value) }
    }

    /// Borrows the value. `None` while another borrow lasts, in this thread or in one that is detached.
    pub(crate) fn try_borrow(&self, _py: Python<'_>) -> Option<AttachedRef<'_, T>> {
        if self.is_borrowed.replace(true) { None } else { Some(AttachedRef { cell: self, _not_send: PhantomData }) }
    }
}

impl<T> Deref for AttachedRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: no other borrow lasts.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for AttachedRef<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: no other borrow lasts, and `self` is borrowed mutably.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for AttachedRef<'_, T> {
    fn drop(&mut self) {
        self.cell.is_borrowed.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_borrower() {
        Python::initialize();
        Python::attach(|py| {
            let cell = AttachedCell::new(1);
            let mut first = cell.try_borrow(py).expect("nothing has borrowed the value");
            assert!(cell.try_borrow(py).is_none());
            *first += 1;
            drop(first);
            assert_eq!(cell.try_borrow(py).map(|value| *value), Some(2));
        });
    }
}
