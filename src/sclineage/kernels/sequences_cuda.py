def cuda_defines(): return {}
