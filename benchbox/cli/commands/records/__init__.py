"""Which commands read stored records: show, compare, judge, choose and keep them?"""
