//! What a process can never do any more, whatever rights it has: system calls that it has no use for ([`calls`]), and
//! writing to files outside of the folders that are its own ([`files`]), or touching any file or network
//! that it has not open ([`seal`]).

pub mod calls;
pub mod files;
pub mod seal;
