// 5 uncolour: takes the labels of “colour by layer and kind” away again
MATCH (c:Component)
REMOVE c:Head:KV:Attention:MLP:Ends:Depth1:Depth2:Depth3:Depth4:Depth5:Depth6
