//! What tests share: private folders, waiting with a deadline, running the real program.
