"""What does the lecture on CNN architectures print?"""
