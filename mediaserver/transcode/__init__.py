"""Media decoded and encoded anew, where a receiver cannot take it as it comes."""
