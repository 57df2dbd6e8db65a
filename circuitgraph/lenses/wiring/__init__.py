"""The wiring lens: does the receiver respond differently to the same signal?"""
