"""Which measured configuration meets the limits? Pure: records in, an answer out."""
