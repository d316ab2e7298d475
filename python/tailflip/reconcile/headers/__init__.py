"""Headers of transcripts: a lost one is written anew before a start that would destroy the rest."""
