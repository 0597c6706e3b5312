"""Writes video.json and rankings.json with the public scorers.

    python3 goldens.py     (in a folder that has davis2017/ of davis2017-evaluation and python/evaluate.py
                            of revisitop; needs NumPy, OpenCV and scikit-image)
"""
import json, sys, numpy as np
sys.path.insert(0,'.'); sys.path.insert(0,'python')
from davis2017.metrics import db_eval_iou, db_eval_boundary
from davis2017.utils import db_statistics
sys.modules.setdefault('numpy',np)
import evaluate
np.in1d = getattr(np,'in1d',None) or np.isin
rng=np.random.default_rng(0)
def blob(h,w):
    y,x=np.mgrid[:h,:w]
    m=np.zeros((h,w),bool)
    for _ in range(rng.integers(1,4)):
        cy,cx=rng.uniform(0,h),rng.uniform(0,w); ry,rx=rng.uniform(.05,.5)*h,rng.uniform(.05,.5)*w
        m|=((y-cy)/ry)**2+((x-cx)/rx)**2<1
    return m
def rle(m):
    # lengths of runs, the first of zeros
    f=m.ravel().astype(int); ch=np.flatnonzero(np.diff(f))+1
    b=np.concatenate([[0],ch,[f.size]]); r=np.diff(b).tolist()
    return ([0]+r) if f[0] else r
cases=[]
def add(name,a,b,th=0.008):
    cases.append(dict(name=name,h=a.shape[0],w=a.shape[1],truth=rle(a),mask=rle(b),tolerance=th,
      j=float(db_eval_iou(a,b)),f=float(db_eval_boundary(a,b,bound_th=th))))
for i,(h,w) in enumerate([(48,64),(60,85),(97,40),(120,214),(33,33),(480,854)]):
    a=blob(h,w); add(f'blobs {h}x{w}',a,blob(h,w))
    s=np.roll(np.roll(a,i%3,0),-2,1); add(f'shifted {h}x{w}',a,s)
    if h<100: add(f'noisy {h}x{w}',a,a^(rng.random((h,w))<.05), .03)
z=np.zeros((24,31),bool); o=~z; a=blob(24,31)
add('both empty',z,z); add('empty mask',a,z); add('empty truth',z,a); add('both full',o,o); add('full and empty',o,z)
corner=z.copy(); corner[-1,-1]=1; add('last pixel',corner,a); add('last pixel alone',corner,z)
edge=z.copy(); edge[:,-1]=1; edge[-1,:]=1; add('border',edge,o)
series=[]
for n in [1,2,3,4,5,7,10,23,68,102]:
    v=rng.random(n); M,R,D=db_statistics(v); series.append(dict(frames=v.tolist(),mean=M,recall=R,decay=D))
json.dump(dict(masks=cases,series=series),open('video.json','w'),separators=(',',':'))
# rankings
out=[]
for t in range(14):
    n=int(rng.integers(12,40)); perm=rng.permutation(n)
    kinds=rng.permutation(n); p=int(rng.integers(1,8)); q=int(rng.integers(0,6))
    ok=kinds[:p]; junk=kinds[p:p+q]
    r=rng.permutation(n)
    if t>=10: ok=np.concatenate([ok,[n+1]])  # one is not in the ranking
    m,aps,pr,prs=evaluate.compute_map(r[:,None],[dict(ok=ok,junk=junk)],[1,5,10])
    out.append(dict(ranking=r.tolist(),positives=ok.tolist(),junk=junk.tolist(),ap=float(aps[0]),precision=prs[0].tolist()))
json.dump(out,open('rankings.json','w'),separators=(',',':'))
