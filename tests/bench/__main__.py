import sys, json
from .packages import *
from .measure import *
TOPIC = "arn:aws:sns:eu-west-1:123456789012:security"
python = functions_python()
print(python)
peers = all_peers(python, TOPIC)
for p in peers: print(p.name, p.zips)
with stub() as s:
    b = Bench(python, s, TOPIC)
    for p in peers:
        try: print(p.name, b.cold([p], 1))
        except Exception as e: print("FAILED", p.name, e)
    for p in peers:
        print(p.name, b.slow([p], 3))
    for p in peers:
        print(p.name, b.warm(p, 60), b.compliant(p))
    for p in sweepers(python, TOPIC):
        print(b.sweep(p, 200))
