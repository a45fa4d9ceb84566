//! The enums and flags of a stored record: event kind, end of the call, state, lane.
//!
//! Their numbers are part of the format: `docs/reference/format.md`.

/// Defines an enum's list of values, and the reading of its stored number.
macro_rules! stored_as_u8 {
    ($name:ident { $($variant:ident),* $(,)? }) => {
        impl $name {
            /// All values, in the order of their numbers.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

            /// The value with a stored number; `None` for a number this version does not know.
            pub const fn from_u8(number: u8) -> Option<Self> {
                match number {
                    $(number if number == Self::$variant as u8 => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use stored_as_u8;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// The first frame of a segment: which process writes it.
    Segment = 1,
    /// The start of a call.
    Start = 2,
    /// The end of a call.
    End = 3,
    /// Opaque bytes, which are stored and never sent.
    Raw = 4,
    /// The start of a run that is not a call: of a chain, a tool or a retriever.
    RunStart = 5,
    /// The end of such a run.
    RunEnd = 6,
}

stored_as_u8!(FrameKind { Segment, Start, End, Raw, RunStart, RunEnd });

impl FrameKind {
    /// Whether the frame ends its record.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::End | Self::RunEnd)
    }

    /// Whether the frame is of a run that is not a call.
    pub const fn is_run(self) -> bool {
        matches!(self, Self::RunStart | Self::RunEnd)
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CallEnd {
    /// The call has not ended.
    No = 0,
    /// The model answered.
    Ok = 1,
    /// The model raised an error.
    Error = 2,
    /// The program cancelled the call.
    Cancelled = 3,
    /// The program stopped reading the answer.
    Partial = 4,
    /// The process ended without recording an end.
    Abandoned = 5,
    /// A graph waits for a person. Only runs that are not calls end like this.
    Interrupted = 6,
}

stored_as_u8!(CallEnd { No, Ok, Error, Cancelled, Partial, Abandoned, Interrupted });

impl CallEnd {
    /// The label of a record that ended like this; `None` for open calls and calls with an answer.
    pub(crate) fn label(self) -> Option<&'static [u8]> {
        match self {
            Self::No | Self::Ok => None,
            Self::Error | Self::Abandoned => Some(b"error"),
            Self::Cancelled => Some(b"cancelled"),
            Self::Partial => Some(b"partial"),
            Self::Interrupted => Some(b"interrupted"),
        }
    }
}

/// Where a record is on its way to `PromptLayer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The record waits to be sent, or its call has not ended.
    Pending = 0,
    /// A sender has leased the record.
    Leased = 1,
    /// The record was sent, and no response came.
    InDoubt = 2,
    /// The record has its request id.
    Acked = 3,
    /// `PromptLayer` refused the record.
    Dead = 4,
    /// The record waits for a decision of the user.
    Held = 5,
}

stored_as_u8!(State { Pending, Leased, InDoubt, Acked, Dead, Held });

impl State {
    /// The name users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::InDoubt => "in_doubt",
            Self::Acked => "acked",
            Self::Dead => "dead",
            Self::Held => "held",
        }
    }
}

/// Where a record in doubt is that bundles carried to a hub. The hub delivers it, so this journal neither looks it up nor sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// A bundle for the hub has the record, and the hub has not confirmed the bundle.
    Carried,
    /// The hub has confirmed a bundle that has the record.
    Received,
}

impl Custody {
    /// Both values, in order.
    pub const ALL: [Self; 2] = [Self::Carried, Self::Received];

    /// The name users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Received => "received",
        }
    }
}

/// A state in which a sender leaves a record that it did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedState {
    /// The record was sent, and no response came.
    InDoubt,
    /// `PromptLayer` refused the record.
    Dead,
    /// The record waits for a decision of the user.
    Held,
}

impl From<ParkedState> for State {
    fn from(parked: ParkedState) -> Self {
        match parked {
            ParkedState::InDoubt => Self::InDoubt,
            ParkedState::Dead => Self::Dead,
            ParkedState::Held => Self::Held,
        }
    }
}

impl TryFrom<State> for ParkedState {
    type Error = State;

    fn try_from(state: State) -> Result<Self, State> {
        match state {
            State::InDoubt => Ok(Self::InDoubt),
            State::Dead => Ok(Self::Dead),
            State::Held => Ok(Self::Held),
            other => Err(other),
        }
    }
}

/// The records of one lane are sent in the order they were recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u8);

impl Lane {
    /// The lane that keeps no order.
    pub const UNORDERED: Self = Self(0);
}

/// A flag of events: the answer came from a cache.
pub const FLAG_CACHED: u8 = 1;
/// A flag of events: a value was recorded only approximately.
pub const FLAG_LOSSY: u8 = 2;
/// A flag of events: the user's redaction changed or removed content.
pub const FLAG_REDACTED: u8 = 4;
/// A flag of records: the quota removed the bodies.
pub const FLAG_PRUNED: u8 = 8;
/// A flag of records: `PromptLayer` made no log of the first trace, so the record is sent as a second one.
pub const FLAG_RENEWED: u8 = 16;
/// A flag of ends: no end was reported, and the recorder saw that none can come. An end that is reported later replaces it.
pub const FLAG_INFERRED: u8 = 32;
/// A flag of records: the user removed the content for good. No event and no sender brings it back.
pub const FLAG_FORGOTTEN: u8 = 64;
/// A flag of records: the record is a run that is not a call. It has no request id.
pub const FLAG_RUN: u8 = 128;
/// The flags that only the store sets. A frame from elsewhere cannot.
pub(crate) const STORE_FLAGS: u8 = FLAG_PRUNED | FLAG_RENEWED | FLAG_FORGOTTEN | FLAG_RUN;
