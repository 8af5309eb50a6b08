"""What is the GPU, and what happens to it?"""
