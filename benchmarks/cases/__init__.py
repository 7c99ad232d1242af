"""Which candidates are compared on what, and do they all compute the same?"""
