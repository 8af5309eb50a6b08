"""What is one inference, and when have enough been timed?"""
