//! x
/// x
#[derive(Debug)]
pub struct Reader;
