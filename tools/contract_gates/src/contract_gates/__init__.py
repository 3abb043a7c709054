"""Gates that no incompatible or unsound change to the contracts passes."""
