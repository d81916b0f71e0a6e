using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Deployments;

internal static class DeploymentRegistration
{
    /// <summary>Adds the queue, its messages, and the worker.</summary>
    public static void AddDeployments(this IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<DeploymentOptions>().BindConfiguration(DeploymentOptions.Section).ValidateDataAnnotations()
            .Validate(options => options.LeaseRenewal * 2 <= options.Lease, "Deployments:Lease must be at least twice Deployments:LeaseRenewal.")
            .ValidateOnStart();

        builder.AddOutbox("store-deployer", DeploymentEvents.Destination);
        builder.AddInbox()
            .Handle<DeploymentRequested, EnqueueDeployment>(DeploymentRequested.Type)
            .Handle<DeploymentCancelRequested, CancelDeployment>(DeploymentCancelRequested.Type)
            .Handle<DeploymentRetryRequested, RetryDeployment>(DeploymentRetryRequested.Type)
            .Handle<ShopDeleted, TakeStoreDown>(ShopDeleted.Type);
        builder.AddServiceClient<TemplateRegistryClient>(TemplateRegistryClient.ServiceName);

        builder.Services.AddSingleton<DeploymentEvents>();
        builder.Services.AddSingleton<ClaimNextDeployment>();
        builder.Services.AddSingleton<RenewLeases>();
        builder.Services.AddSingleton<RecordProgress>();
        builder.Services.AddSingleton<FailDeployment>();
        builder.Services.AddSingleton<ReturnDeployment>();
        builder.Services.AddSingleton<ReleaseOrphanedLeases>().AddSingleton<ReleaseForgottenLeases>();
        builder.Services.AddSingleton<StoreRelease>();
        builder.Services.AddSingleton<CheckRelease>();
        builder.Services.AddSingleton<FindRelease>();
        builder.Services.AddSingleton<ActivateRelease>();
        builder.Services.AddSingleton<TemplateCache>();
        builder.Services.AddHostedService<WarmUp>();
        builder.Services.AddSingleton<PrepareRelease>();
        builder.Services.AddSingleton<DeploymentRunner>();
        builder.Services.AddProcessSession();
        builder.Services.AddSingleton<WorkerLeases>();
        builder.Services.AddHostedService<DeploymentWorker>();
        builder.Services.AddHostedService<QueueMetrics>();
        builder.Services.AddSingleton<CollectReleases>();
        builder.Services.AddHostedService(services => services.GetRequiredService<CollectReleases>());
    }
}
