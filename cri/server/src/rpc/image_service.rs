//! CRI's ImageService.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::image_service_server::ImageService;
use tonic::{Request, Response, Status, async_trait};

use super::stream::{Pages, pages};
use super::{image_fs_info, image_list, image_pull, image_remove};
use crate::Runtime;
use crate::instrument::call;

/// CRI's ImageService.
#[derive(Clone)]
pub struct ImageServer(pub Arc<Runtime>);

#[async_trait]
impl ImageService for ImageServer {
    async fn list_images(
        &self,
        request: Request<cri::ListImagesRequest>,
    ) -> Result<Response<cri::ListImagesResponse>, Status> {
        let request = request.into_inner();
        let list =
            async { Ok(cri::ListImagesResponse { images: image_list::list(&self.0, request.filter.as_ref())? }) };
        call("ListImages", list).await
    }

    type StreamImagesStream = Pages<cri::StreamImagesResponse>;

    async fn stream_images(
        &self,
        request: Request<cri::StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        let request = request.into_inner();
        let page = |images| cri::StreamImagesResponse { images };
        call("StreamImages", async { Ok(pages(image_list::list(&self.0, request.filter.as_ref())?, page)) }).await
    }

    async fn image_status(
        &self,
        request: Request<cri::ImageStatusRequest>,
    ) -> Result<Response<cri::ImageStatusResponse>, Status> {
        let request = request.into_inner();
        call("ImageStatus", async { image_list::status(&self.0, &request) }).await
    }

    async fn pull_image(
        &self,
        request: Request<cri::PullImageRequest>,
    ) -> Result<Response<cri::PullImageResponse>, Status> {
        call("PullImage", image_pull::pull(&self.0, request.into_inner())).await
    }

    async fn remove_image(
        &self,
        request: Request<cri::RemoveImageRequest>,
    ) -> Result<Response<cri::RemoveImageResponse>, Status> {
        call("RemoveImage", image_remove::remove(&self.0, request.into_inner())).await
    }

    async fn image_fs_info(
        &self,
        _request: Request<cri::ImageFsInfoRequest>,
    ) -> Result<Response<cri::ImageFsInfoResponse>, Status> {
        call("ImageFsInfo", async { image_fs_info::info(&self.0) }).await
    }
}
