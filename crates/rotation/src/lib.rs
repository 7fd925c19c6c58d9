//! The rotation of a secret as a state machine that ends with proof: nobody holds the old version, and it is refused.
//!
//! Owns the order of the steps by class, what must have been seen before each, the way back, and how old a secret may become. Knows no
//! value of any secret, no store, no database, no replica and no clock: facts are handed in, steps are handed out, and who performs them
//! keeps this state in between.
//!
//! Map: [`Order`] what is rotated and how ([`Class`]), `path` the phases of each class and the way back, [`Rotation`] the machine,
//! [`Step`] what it asks for and [`Outcome`] what came of it, [`Observation`] who holds what, [`Standing`] what to tell a person,
//! [`Age`] when the next one is due.
//!
//! Invariants (test `by_seeds`): the old version is made invalid, and the new one withdrawn on the way back, only when nobody holds it
//! and that was seen; a rotation ends done or undone, or is held and says by whom; each step may be performed again.

mod age;
mod error;
mod order;
mod path;
mod rotation;
mod standing;
mod step;

pub use age::{Age, AgeWarning, ROTATE_EVERY, WARN_BEFORE};
pub use error::RotationError;
pub use order::{Class, Order, Patience, Verifier};
pub use rotation::{Next, Rotation};
pub use standing::{Stage, Standing};
pub use step::{Act, Answer, Give, Held, HolderId, Observation, Outcome, Step, StepId, Which};
