"""A day's archive brought from where it is published, whole and verified, or the word that there is none.

Here belong places (folders, http, S3), transfers that end or go on, and what is kept of unfinished ones. What an
archive holds is not known here.
"""
