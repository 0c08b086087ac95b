"""What is kept: streams, their attempts and chunks, who owns them, and how a reader learns of news.

The rows above this package use `Store` (anybody, synchronous), `Writer` (an owner's appends), `Cursor` (text at an
offset, now) and `Wakes`; none of them asks which engine is beneath.
"""
