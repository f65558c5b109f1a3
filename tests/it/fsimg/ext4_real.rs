//! Every root file system of the `shared/` folder, when it is there.
