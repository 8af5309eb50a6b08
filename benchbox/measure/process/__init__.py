"""What does one worker process do, and who starts and ends it?"""
