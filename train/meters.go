package train

import "ibot/metrics"

// meters sum up an epoch. They are part of a checkpoint, so that an epoch that was interrupted
// reports all of its steps.
type meters struct {
	Sums     map[string]float64 `json:"sums"`
	Steps    int                `json:"steps"`
	Clusters []int              `json:"-"` // the teacher's, of every image that had a label; arrays of the checkpoint
	Labels   []int              `json:"-"`
}

// add counts a step: what it measured and the labels of its images.
func (m *meters) add(values map[string]float64, clusters, labels []int) {
	if m.Sums == nil {
		m.Sums = map[string]float64{}
	}
	for name, v := range values {
		m.Sums[name] += v
	}
	m.Steps++
	for i, l := range labels {
		if l >= 0 {
			m.Labels = append(m.Labels, l)
			m.Clusters = append(m.Clusters, clusters[i])
		}
	}
}

// means returns the means of the epoch's steps; with labels also how well the teacher's clusters agree
// with them.
func (m *meters) means() (map[string]float64, error) {
	out := map[string]float64{}
	for name, sum := range m.Sums {
		out[name] = sum / float64(max(1, m.Steps))
	}
	if len(m.Labels) > 0 {
		t, err := metrics.NewContingency(m.Labels, m.Clusters)
		if err != nil {
			return nil, err
		}
		out["nmi"], out["ari"], out["fscore"] = t.NMI(), t.ARI(), t.FMI()
	}
	return out, nil
}

// lists are the parts that grow with the epoch, under their names in a checkpoint.
func (m *meters) lists() map[string]*[]int {
	return map[string]*[]int{"epoch.clusters": &m.Clusters, "epoch.labels": &m.Labels}
}
