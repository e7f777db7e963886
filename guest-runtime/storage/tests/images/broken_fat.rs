//! File systems that are cut short, damaged, or made to do harm.
