//! Tests of ukvm as its users see it.
