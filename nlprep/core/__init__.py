"""What every capability stands on: errors, files, artifacts, configuration, progress, threads.

Nothing here knows about words, images or models; nothing here imports the packages above it.
"""
