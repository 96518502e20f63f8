"""What columns are made of: growing arrays, tables of ids, packed sorts and pairs of rows.

It knows nothing of viewers, media or accounts: whatever has a word of the domain in it belongs
above.
"""
