using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;

namespace Platform.ServiceDefaults.Postgres.Messaging;

internal sealed class MessagingMetrics(IMeterFactory meters)
{
    private readonly Meter _meter = meters.CreateMeter("messaging");
    private Counter<long>? _sent;
    private Counter<long>? _received;
    private Histogram<double>? _age;

    private Counter<long> SentCounter => _sent ??= _meter.CreateCounter<long>("platform.messaging.sent", "{message}", "Deliveries by destination, type and outcome");

    private Counter<long> ReceivedCounter => _received ??= _meter.CreateCounter<long>("platform.messaging.received", "{message}", "Messages received by source, type and outcome");

    private Histogram<double> AgeHistogram => _age ??= _meter.CreateHistogram<double>("platform.messaging.delivery.duration", "s", "Time from a message's creation to its being taken");

    public void Delivered(string destination, string type, TimeSpan age)
    {
        Sent(destination, type, "delivered");
        AgeHistogram.Record(age.TotalSeconds, new KeyValuePair<string, object?>("destination", destination));
    }

    public void Sent(string destination, string type, string outcome) =>
        SentCounter.Add(1, new("destination", destination), new("type", type), new("outcome", outcome));

    public void Received(string source, string type, string outcome) =>
        ReceivedCounter.Add(1, new("source", source), new("type", type), new("outcome", outcome));
}
